// The dropout masks of random_mask.hpp on a CUDA device, or on the emulated one, in one kernel.
#pragma once

#include "compression/cuda/device_language.hpp"

#include <cstddef>
#include <cstdint>

namespace longhaul::compnode {

struct MaskTask {
  compression::cuda::Out<std::uint32_t> words;  // four bytes of mask each, in_fours() of them
  std::size_t elements = 0;
  std::uint32_t per_sequence = 0;  // of the elements; at least 1
  std::uint64_t key = 0;           // of the mask, without the sequence
  std::uint64_t first_sequence = 0;
  std::uint32_t threshold = 0;  // an element is dropped if its hash is below
};

// In the calling thread's current_stream, on its device. Where the device fails,
// std::runtime_error.
void fill_mask_on_device(const MaskTask& task);

}  // namespace longhaul::compnode
