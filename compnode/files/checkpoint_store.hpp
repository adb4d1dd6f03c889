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
  friend proto::Result<Checkpoint> make_checkpoint(std::vector<StageFile> files,
                                                   const proto::Graph& graph);
  std::vector<StageFile> files_;
  TensorMap tensors_;
  std::filesystem::path path_;
};

// A checkpoint out of all files of one set, by stage, if they are undamaged and fit the graph.
[[nodiscard]] proto::Result<Checkpoint> make_checkpoint(std::vector<StageFile> files,
                                                        const proto::Graph& graph);

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
[[nodiscard]] proto::Result<FoundCheckpoint> open_latest(const std::filesystem::path& directory,
                                                    const proto::Graph& graph);

// Steps that have a folder, ascending, whole or not. A folder that does not exist has none.
[[nodiscard]] proto::Result<std::vector<std::uint64_t>> checkpoint_steps(
    const std::filesystem::path& directory);

struct PruneOptions {
  std::uint32_t keep = 0;    // complete checkpoints that stay; 0: all
  std::uint64_t newest = 0;  // the step just written: later ones, of another run, are left alone
};

// Deletes the steps before the `keep` newest complete ones up to `newest`, complete or not, and
// what writers that died left behind. Deletes no step unless one that stays has just been read and
// found undamaged. Complete means: in this directory; where every stage writes to a disk of its
// own, nothing is, and nothing is deleted. Several processes may prune and write at the same time.
// Returns the steps deleted, ascending. Errors are kResource.
[[nodiscard]] proto::Result<std::vector<std::uint64_t>> prune_checkpoints(
    const std::filesystem::path& directory, PruneOptions options);

}  // namespace longhaul::compnode
