// The memory behind Workspace, by what it holds.
#pragma once

#include "compression/buffer.hpp"
#include "compression/tensor_codec.hpp"
#include "compression/top_k.hpp"

#include <array>
#include <cstdint>

namespace longhaul::compression {

struct Workspace::Memory {
  Buffer<float> widened;      // a bfloat16 tensor as float32
  Buffer<float> values;       // the entries sent, in mask order
  Buffer<std::uint8_t> symbols;  // of packed codes
  Buffer<std::uint16_t> scales;
  std::array<std::uint32_t, kLongestBlock> signs{};  // of rotation: 0 or 2^31
  TopKMemory top_k;
  Buffer<std::uint32_t> column_counts;
  Buffer<std::uint32_t> places;  // then gaps
  Buffer<std::uint8_t> parameters;
  Buffer<std::uint16_t> group_bytes;
};

}  // namespace longhaul::compression
