// Counter-based random masks: bit i of a mask depends on its key and on i, on nothing that ran
// before, so that dropout is the same however the model and the batch are split.
#pragma once

#include "compnode/execution/torch.hpp"

#include <cstdint>

namespace longhaul::compnode {

// Identifies one sequence's mask in one operator at one step.
struct MaskKey {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  std::uint64_t op = 0;
  std::uint64_t sequence = 0;  // of the first row; row b uses sequence + b
};

// uint8 tensor of `shape` ([batch, ...], at most 2^32 elements per sequence) on `device`: 1 with
// probability 1 - rate, else 0. The same on every device.
[[nodiscard]] at::Tensor random_mask(const MaskKey& key, double rate, at::IntArrayRef shape,
                                     const at::Device& device);

// The same mask from LibTorch's integer arithmetic: for devices without code of ours.
[[nodiscard]] at::Tensor random_mask_by_torch(const MaskKey& key, double rate,
                                              at::IntArrayRef shape, const at::Device& device);

// values * mask * scale, elementwise, shapes equal.
[[nodiscard]] at::Tensor apply_mask(const at::Tensor& values, const at::Tensor& mask, double scale);

}  // namespace longhaul::compnode
