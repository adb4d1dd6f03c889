// Matches a folder's tensors with a graph's parameters.
#include "compnode/files/model_weights.hpp"

#include "proto/assert.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace longhaul::compnode {
namespace {

constexpr std::string_view kPrefix = "transformer.";
constexpr std::string_view kHead = "lm_head.weight";

class Matcher {
 public:
  Matcher(const TensorMap& tensors, const proto::Graph& graph) : tensors_(tensors), graph_(graph) {}

  std::vector<TensorView> match() {
    std::vector<TensorView> views;
    for (const proto::Parameter& parameter : graph_.parameters) {
      const auto found = find(parameter.name);
      if (found == tensors_.end()) {
        missing_.push_back(fmt::format("{} {}", parameter.name, shape_text(parameter.shape)));
        views.emplace_back();
        continue;
      }
      used_.insert(found->first);
      check(parameter, found->first, found->second);
      views.push_back(found->second);
    }
    for (const auto& [name, view] : tensors_) {
      if (!used_.contains(name) && !is_passed_over(name, view)) {
        surplus_.push_back(fmt::format("{} {}", proto::quoted(name), shape_text(view.shape)));
      }
    }
    return views;
  }

  // Everything that does not fit, or nothing.
  [[nodiscard]] std::optional<std::string> complaint() const {
    std::string text;
    append(text, "missing", missing_);
    append(text, "surplus", surplus_);
    append(text, "different", different_);
    if (text.empty()) return std::nullopt;
    return text;
  }

 private:
  [[nodiscard]] TensorMap::const_iterator find(const std::string& name) const {
    const auto found = tensors_.find(name);
    if (found != tensors_.end()) return found;
    if (!name.starts_with(kPrefix)) return tensors_.find(std::string(kPrefix) + name);
    return tensors_.find(std::string_view(name).substr(kPrefix.size()));
  }

  void check(const proto::Parameter& parameter, const std::string& name, const TensorView& view) {
    if (view.shape != parameter.shape) {
      different_.push_back(fmt::format("{} is {} in the folder and {} in the model",
                                       proto::quoted(name), shape_text(view.shape),
                                       shape_text(parameter.shape)));
    } else if (!is_convertible(view.dtype)) {
      different_.push_back(fmt::format("{} has dtype {} instead of F32, F16, BF16 or F64",
                                       proto::quoted(name), dtype_name(view.dtype)));
    }
  }

  // Buffers of older folders, and the output head of a model that ties it to the embedding.
  bool is_passed_over(std::string_view name, const TensorView& view) {
    if (name.ends_with(".attn.bias") || name.ends_with(".attn.masked_bias")) return true;
    if (name != kHead || graph_.find_parameter(kHead)) return false;
    const auto embedding = find(std::string(kPrefix) + "wte.weight");
    if (embedding == tensors_.end()) return false;
    if (embedding->second.dtype == view.dtype && embedding->second.shape == view.shape &&
        std::ranges::equal(embedding->second.bytes, view.bytes)) {
      return true;
    }
    different_.push_back(fmt::format(
        "{} differs from {}, to which the model ties it: set tie_word_embeddings to false in "
        "config.json to train both", proto::quoted(name), proto::quoted(embedding->first)));
    return true;
  }

  // A folder of quite another model would fill the screen: the first ones say enough.
  static void append(std::string& text, std::string_view kind,
                     const std::vector<std::string>& items) {
    constexpr std::size_t kShown = 200;
    if (items.empty()) return;
    const std::span<const std::string> shown(items.data(), std::min(items.size(), kShown));
    text += fmt::format("{}{}: {}", text.empty() ? "" : "; ", kind, fmt::join(shown, ", "));
    if (items.size() > kShown) text += fmt::format(" and {} more", items.size() - kShown);
  }

  const TensorMap& tensors_;
  const proto::Graph& graph_;
  std::set<std::string_view> used_;
  std::vector<std::string> missing_;
  std::vector<std::string> surplus_;
  std::vector<std::string> different_;
};

}  // namespace

proto::Result<ModelWeights> ModelWeights::open(const std::filesystem::path& folder,
                                               const proto::Graph& graph) {
  auto opened = WeightsFolder::open(folder);
  if (!opened) return opened.error();
  ModelWeights weights;
  Matcher matcher(opened->tensors(), graph);
  weights.parameters_ = matcher.match();
  if (const auto complaint = matcher.complaint()) {
    return proto::configuration_error(
        fmt::format("{}: its weights do not fit the model: {}", folder.string(), *complaint));
  }
  weights.folder_ = std::move(*opened);
  return weights;
}

const TensorView& ModelWeights::parameter(proto::ParameterIndex index) const {
  LONGHAUL_ASSERT(index.value < parameters_.size());
  return parameters_[index.value];
}

}  // namespace longhaul::compnode
