// The tensors of a model folder, whether in one safetensors file or in shards with an index.
#pragma once

#include "compnode/files/safetensors_file.hpp"
#include "compnode/files/weights_index.hpp"
#include "proto/error.hpp"

#include <filesystem>
#include <vector>

namespace longhaul::compnode {

class WeightsFolder {
 public:
  // Reads `model.safetensors`, or `model.safetensors.index.json` and the shards that it names.
  // Shards must lie in the folder itself, hold exactly what the index says of them, and no tensor
  // twice. Errors are kConfiguration and name file and tensor.
  [[nodiscard]] static proto::Result<WeightsFolder> open(const std::filesystem::path& folder);

  [[nodiscard]] const TensorMap& tensors() const { return tensors_; }

 private:
  [[nodiscard]] proto::Result<void> add_shards(const std::filesystem::path& folder,
                                               const WeightsIndex& index);

  std::vector<SafetensorsFile> files_;
  TensorMap tensors_;
};

}  // namespace longhaul::compnode
