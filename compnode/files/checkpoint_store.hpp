// A job's folder of checkpoints: finding the newest that is whole, reading it, dropping old ones.
#pragma once

#include "compnode/files/checkpoint_file.hpp"
#include "proto/error.hpp"
#include "proto/graph.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::compnode {

// A whole checkpoint: all files of one "of-N" set, verified. Independent of N: any stage of any
// later plan takes from it what it needs.
class Checkpoint {
 public:
  [[nodiscard]] const CheckpointInfo& info() const { return files_.front().info(); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }  // the step's folder
  [[nodiscard]] std::uint32_t stages() const { return files_.front().place().stages; }
  // Of a parameter of the graph it was found for: fp32, in the graph's shape.
  [[nodiscard]] const TensorView& state(StateRole role, std::string_view parameter) const;

 private:
  friend class CheckpointReader;
  std::vector<StageFile> files_;
  TensorMap tensors_;
  std::filesystem::path path_;
};

struct SkippedStep {
  std::uint64_t step = 0;
  std::string reason;  // one line
};

struct FoundCheckpoint {
  std::optional<Checkpoint> checkpoint;
  std::vector<SkippedStep> skipped;  // newer ones that cannot be used, newest first
};

// The checkpoint with the highest step that is complete (all files of one "of-N" set, of one run),
// undamaged (checksums) and fits the graph (fingerprint, every parameter's state; a tied parameter
// in several files is the same in all). A folder without any gives an empty `checkpoint`. Errors
// are kConfiguration: `directory` is no readable folder.
[[nodiscard]] proto::Result<FoundCheckpoint> find_latest(const std::filesystem::path& directory,
                                                         const proto::Graph& graph);

// As find_latest, but nothing to continue from is an error that says per step why not.
[[nodiscard]] proto::Result<Checkpoint> open_latest(const std::filesystem::path& directory,
                                                    const proto::Graph& graph);

// Steps that have a folder, ascending, whole or not. A folder that does not exist has none.
[[nodiscard]] proto::Result<std::vector<std::uint64_t>> checkpoint_steps(
    const std::filesystem::path& directory);

// Deletes what is older than the `keep` newest complete checkpoints, complete or not, and what
// writers that died left behind; `keep` 0 keeps all steps. Deletes no step unless a complete one
// that stays has just been verified. Several processes may prune and write at the same time.
// Returns the steps deleted, ascending.
[[nodiscard]] proto::Result<std::vector<std::uint64_t>> prune_checkpoints(
    const std::filesystem::path& directory, std::uint32_t keep);

}  // namespace longhaul::compnode
