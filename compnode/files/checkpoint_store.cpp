// Finds the newest usable checkpoint.
#include "compnode/files/checkpoint_store.hpp"

#include "compnode/files/checkpoint_sets.hpp"
#include "compnode/files/graph_fingerprint.hpp"
#include "proto/assert.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace longhaul::compnode {
namespace {

bool same_tensor(const TensorView& a, const TensorView& b) {
  return a.dtype == b.dtype && a.shape == b.shape && std::ranges::equal(a.bytes, b.bytes);
}

// All stages' tensors under one roof; what two stages both hold must be the same.
proto::Result<TensorMap> merge(const StageFiles& files) {
  TensorMap tensors;
  for (const StageFile& file : files) {
    for (const auto& [name, view] : file.tensors()) {
      const auto [entry, added] = tensors.emplace(name, view);
      if (!added && !same_tensor(entry->second, view)) {
        return proto::configuration_error(
            fmt::format("stage {} has other values of {} than a stage before it",
                        file.place().stage, proto::quoted(name)));
      }
    }
  }
  return tensors;
}

proto::Result<void> check_fit(const TensorMap& tensors, const proto::Graph& graph) {
  for (const proto::Parameter& parameter : graph.parameters) {
    for (const StateRole role : kStateRoles) {
      const std::string name = state_name(role, parameter.name);
      const auto found = tensors.find(name);
      if (found == tensors.end()) {
        return proto::configuration_error(fmt::format("{} is missing", proto::quoted(name)));
      }
      if (found->second.dtype != Dtype::kF32 || found->second.shape != parameter.shape) {
        return proto::configuration_error(
            fmt::format("{} is {} {}, the model's parameter F32 {}", proto::quoted(name),
                        dtype_name(found->second.dtype), shape_text(found->second.shape),
                        shape_text(parameter.shape)));
      }
    }
  }
  return {};
}

// One set of the step that can be used, or the reasons why there is none.
proto::Result<Checkpoint> open_step(const std::filesystem::path& directory, std::uint64_t step,
                                    const proto::Graph& graph) {
  std::string reasons;
  for (auto& files : open_sets(directory, step)) {
    auto checkpoint = files ? make_checkpoint(std::move(*files), graph)
                            : proto::Result<Checkpoint>(files.error());
    if (checkpoint) return checkpoint;
    reasons += (reasons.empty() ? "" : "; ") + checkpoint.error().message;
  }
  return proto::configuration_error(reasons.empty() ? "it has no files of stages" : reasons);
}

}  // namespace

proto::Result<Checkpoint> make_checkpoint(std::vector<StageFile> files, const proto::Graph& graph) {
  if (files.front().info().graph != fingerprint(graph)) {
    return proto::configuration_error("it is of another model or of other model settings");
  }
  if (const auto verified = verify_all(files); !verified) return verified.error();
  auto tensors = merge(files);
  if (!tensors) return tensors.error();
  if (const auto fit = check_fit(*tensors, graph); !fit) return fit.error();
  Checkpoint checkpoint;
  checkpoint.path_ = files.front().path().parent_path();
  checkpoint.files_ = std::move(files);
  checkpoint.tensors_ = std::move(*tensors);
  return checkpoint;
}

const TensorView& Checkpoint::state(StateRole role, std::string_view parameter) const {
  const auto found = tensors_.find(state_name(role, parameter));
  LONGHAUL_ASSERT(found != tensors_.end());
  return found->second;
}

proto::Result<FoundCheckpoint> find_latest(const std::filesystem::path& directory,
                                           const proto::Graph& graph) {
  if (!std::filesystem::is_directory(directory)) {
    return proto::configuration_error(
        fmt::format("{}: is not a folder of checkpoints", directory.string()));
  }
  const auto steps = checkpoint_steps(directory);
  if (!steps) return steps.error();
  FoundCheckpoint found;
  for (auto step = steps->rbegin(); step != steps->rend(); ++step) {
    auto checkpoint = open_step(directory, *step, graph);
    if (checkpoint) {
      found.checkpoint = std::move(*checkpoint);
      break;
    }
    found.skipped.push_back({*step, checkpoint.error().message});
  }
  return found;
}

proto::Result<FoundCheckpoint> open_latest(const std::filesystem::path& directory,
                                           const proto::Graph& graph) {
  auto found = find_latest(directory, graph);
  if (!found || found->checkpoint) return found;
  std::string reasons;
  for (const SkippedStep& skipped : found->skipped) {
    reasons +=
        fmt::format("{} step {}: {}", reasons.empty() ? "" : ";", skipped.step, skipped.reason);
  }
  // What a run prints is a step's own folder, in the one that is wanted here.
  const auto named = directory.has_filename() ? directory : directory.parent_path();
  const bool is_step = step_of(named.filename().string()).has_value();
  return proto::configuration_error(fmt::format(
      "{}: holds no checkpoint to continue from{}{}{}", directory.string(),
      reasons.empty() ? "" : ":", reasons,
      is_step ? fmt::format(": it is one step's folder; give {}", named.parent_path().string())
              : ""));
}

}  // namespace longhaul::compnode
