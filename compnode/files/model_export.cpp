// Fills a folder with a model and puts it in place.
#include "compnode/files/model_export.hpp"

#include "compnode/files/atomic_file.hpp"
#include "compnode/files/atomic_folder.hpp"
#include "compnode/files/mapped_file.hpp"
#include "compnode/files/model_config.hpp"
#include "compnode/files/safetensors_file.hpp"
#include "compnode/files/tokenizer_files.hpp"
#include "compnode/files/weights_index.hpp"
#include "proto/assert.hpp"
#include "proto/graph_bytes.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace longhaul::compnode {
namespace {

constexpr std::string_view kListing = "longhaul.json";
constexpr std::string_view kListingFormat = "longhaul export 1";

// In the order of the graph, whatever the caller's.
std::vector<NamedTensor> in_graph_order(const proto::Graph& graph,
                                        std::span<const NamedTensor> parameters) {
  LONGHAUL_ASSERT(parameters.size() == graph.parameters.size());
  std::vector<NamedTensor> ordered(parameters.size());
  for (const NamedTensor& tensor : parameters) {
    const auto index = graph.find_parameter(tensor.name);
    LONGHAUL_ASSERT(index.has_value() && ordered[index->value].name.empty());
    LONGHAUL_ASSERT(tensor.view.shape == graph.parameters[index->value].shape);
    ordered[index->value] = tensor;
  }
  return ordered;
}

// Cuts the tensors into runs of at most `shard_bytes`, or of one tensor.
std::vector<std::span<const NamedTensor>> shards(std::span<const NamedTensor> tensors,
                                                 std::uint64_t shard_bytes) {
  std::vector<std::span<const NamedTensor>> result;
  std::size_t first = 0;
  std::uint64_t filled = 0;
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    const std::uint64_t bytes = tensors[i].view.bytes.size();
    if (i > first && filled + bytes > shard_bytes) {
      result.push_back(tensors.subspan(first, i - first));
      first = i;
      filled = 0;
    }
    filled += bytes;
  }
  result.push_back(tensors.subspan(first));
  return result;
}

// Writes files into one folder and remembers their names.
class FolderWriter {
 public:
  explicit FolderWriter(std::filesystem::path folder) : folder_(std::move(folder)) {}

  proto::Result<void> text(std::string_view name, std::string_view content) {
    names_.emplace_back(name);
    return write_file(folder_ / name, content);
  }

  proto::Result<void> weights(std::span<const NamedTensor> tensors, std::uint64_t shard_bytes) {
    const auto parts = shards(tensors, shard_bytes);
    if (parts.size() == 1) return weights_file("model.safetensors", parts.front());
    WeightsIndex index;
    std::uint64_t total_bytes = 0;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const std::string name = fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, parts.size());
      if (auto written = weights_file(name, parts[i]); !written) return written;
      for (const NamedTensor& tensor : parts[i]) {
        index.emplace(tensor.name, name);
        total_bytes += tensor.view.bytes.size();
      }
    }
    return text("model.safetensors.index.json", render_weights_index(index, total_bytes));
  }

  proto::Result<void> tokenizer(const std::filesystem::path& from,
                                std::optional<std::uint64_t> positions) {
    auto made = copy_tokenizer({.from = from, .to = folder_, .positions = positions});
    if (!made) return made.error();
    names_.insert(names_.end(), made->begin(), made->end());
    return {};
  }

  // Last: what this folder holds, by which the next export knows it for its own.
  proto::Result<void> listing() {
    std::ranges::sort(names_);
    nlohmann::ordered_json json;
    json["format"] = kListingFormat;
    json["files"] = names_;
    return write_file(folder_ / kListing, json.dump(2) + "\n");
  }

 private:
  proto::Result<void> weights_file(const std::string& name, std::span<const NamedTensor> tensors) {
    names_.push_back(name);
    return write_safetensors(folder_ / name, tensors, {{"format", "pt"}});
  }

  std::filesystem::path folder_;
  std::vector<std::string> names_;
};

proto::Result<void> fill(FolderWriter& writer, const proto::Graph& graph,
                         std::span<const NamedTensor> tensors, const ExportOptions& options) {
  std::optional<std::uint64_t> positions;
  if (graph.huggingface_config_json.empty()) {
    if (auto w = writer.text("graph.json", proto::graph_json(graph.to_wire())); !w) return w;
  } else {
    const Dtype dtype = tensors.empty() ? Dtype::kF32 : tensors.front().view.dtype;
    const auto config = model_config(graph, dtype);
    if (!config) return config.error();
    positions = config->positions;
    if (auto w = writer.text("config.json", config->config); !w) return w;
    if (config->generation) {
      if (auto w = writer.text("generation_config.json", *config->generation); !w) return w;
    }
  }
  if (auto w = writer.weights(tensors, options.shard_bytes); !w) return w;
  if (options.tokenizer) {
    if (auto w = writer.tokenizer(*options.tokenizer, positions); !w) return w;
  }
  return writer.listing();
}

// Names listed by an earlier export; empty where the folder is none.
std::set<std::string> listed_files(const std::filesystem::path& folder) {
  const auto file = MappedFile::open(folder / kListing);
  if (!file) return {};
  const std::string_view text(reinterpret_cast<const char*>(file->bytes().data()),
                              file->bytes().size());
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || json.value("format", nlohmann::json()) != kListingFormat ||
      !json.contains("files")) {
    return {};
  }
  std::set<std::string> names{std::string(kListing)};
  for (const auto& name : json["files"]) {
    if (name.is_string()) names.insert(name.get<std::string>());
  }
  return names;
}

}  // namespace

proto::Result<void> check_export_folder(const std::filesystem::path& folder) {
  std::error_code error;
  const auto status = std::filesystem::status(folder, error);
  if (!std::filesystem::exists(status)) return {};
  if (!std::filesystem::is_directory(status)) {
    return proto::configuration_error(
        fmt::format("{}: is not a folder: name another one for the model", folder.string()));
  }
  const std::set<std::string> ours = listed_files(folder);
  std::filesystem::directory_iterator entries(folder, error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    if (ours.contains(name)) continue;
    return proto::configuration_error(fmt::format(
        "{}: holds {}, which no export of Longhaul wrote: empty the folder or name another one",
        folder.string(), proto::quoted(name)));
  }
  if (error) {
    return proto::configuration_error(
        fmt::format("{}: cannot be read: {}", folder.string(), error.message()));
  }
  return {};
}

proto::Result<void> export_model(const proto::Graph& graph,
                                 std::span<const NamedTensor> parameters,
                                 const ExportOptions& options) {
  const std::vector<NamedTensor> tensors = in_graph_order(graph, parameters);
  if (auto allowed = check_export_folder(options.folder); !allowed) return allowed;
  auto folder = AtomicFolder::create(options.folder);
  if (!folder) return folder.error();
  FolderWriter writer(folder->partial());
  if (auto filled = fill(writer, graph, tensors, options); !filled) return filled;
  return folder->commit();
}

}  // namespace longhaul::compnode
