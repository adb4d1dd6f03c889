// One stage's file of a checkpoint: what it says about itself, and writing and reading it.
#pragma once

#include "compnode/files/safetensors_file.hpp"
#include "compnode/files/tensor_view.hpp"
#include "proto/error.hpp"
#include "proto/ids.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::compnode {

// What a stage keeps per parameter; all fp32, in the parameter's shape.
enum class StateRole {
  kParameter,  // "parameter/NAME": under bf16 the master weights
  kExpAvg,     // "exp_avg/NAME": AdamW's first moment
  kExpAvgSq,   // "exp_avg_sq/NAME": its second
};
inline constexpr StateRole kStateRoles[] = {StateRole::kParameter, StateRole::kExpAvg,
                                            StateRole::kExpAvgSq};
[[nodiscard]] std::string state_name(StateRole role, std::string_view parameter);

// Everything beside tensors that a run continues from; alike in all files of a checkpoint.
struct CheckpointInfo {
  std::uint64_t step = 0;         // steps applied
  std::uint64_t seed = 0;         // randomness is counted from seed and step: no other state
  std::uint64_t data_cursor = 0;  // the sampler's position
  std::string graph;              // fingerprint(graph)
  std::string run;                // the job's id: files of two runs never make one checkpoint
  std::string settings{};         // what the job trained with, as its writer puts it; may be empty

  bool operator==(const CheckpointInfo&) const = default;
};

struct StagePlace {
  std::uint32_t stage = 0;
  std::uint32_t stages = 1;

  bool operator==(const StagePlace&) const = default;
};

// A tensor and whatever keeps its bytes alive.
struct OwnedTensor {
  using Take = std::function<void(std::span<const std::byte>)>;

  std::string name;  // state_name(...)
  TensorView view;   // without bytes where `read` gives them
  std::shared_ptr<const void> owner;
  // For bytes that this process cannot address: gives them in order, in pieces that last as long as
  // the call of `take`, or says why it cannot. Called at most once, on the writer's thread; must
  // not throw. Empty: they are the view's.
  std::function<proto::Result<void>(const Take& take)> read{};
};

struct StageSnapshot {
  CheckpointInfo info;
  StagePlace place;
  std::vector<OwnedTensor> tensors;
};

// DIRECTORY/step-00000050
[[nodiscard]] std::filesystem::path step_folder_path(const std::filesystem::path& directory,
                                                     std::uint64_t step);

// DIRECTORY/step-00000050/stage-0-of-4.safetensors
[[nodiscard]] std::filesystem::path stage_file_path(const std::filesystem::path& directory,
                                                    std::uint64_t step, StagePlace place);

// Writes the snapshot's file, atomically, and returns its path; makes the folders. `on_read` is
// called, unless writing fails before, when every tensor has been read: from then on they may
// change, while the file is still to be synced. Errors are kResource and name the path, or are
// those of a `read`.
[[nodiscard]] proto::Result<std::filesystem::path> write_stage_file(
    const std::filesystem::path& directory, const StageSnapshot& snapshot,
    const std::function<void()>& on_read = [] {});

// A stage's file, open. `verify` reads all of it against its checksum; before that only the header
// is checked.
class StageFile {
 public:
  [[nodiscard]] static proto::Result<StageFile> open(const std::filesystem::path& path);
  [[nodiscard]] proto::Result<void> verify() const;

  [[nodiscard]] const std::filesystem::path& path() const { return path_; }
  [[nodiscard]] const CheckpointInfo& info() const { return info_; }
  [[nodiscard]] StagePlace place() const { return place_; }
  [[nodiscard]] const TensorMap& tensors() const { return file_.tensors(); }

 private:
  std::filesystem::path path_;
  SafetensorsFile file_;
  CheckpointInfo info_;
  StagePlace place_;
  std::string checksum_;  // 16 hexadecimal digits, as in the file
};

}  // namespace longhaul::compnode
