// Exactly the k entries of the largest magnitude; of equal ones those with the lower index.
#pragma once

#include "compression/buffer.hpp"
#include "compression/kernels.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace longhaul::compression {

// Memory of a selection, kept between calls.
struct TopKMemory {
  Buffer<std::uint32_t> candidates;
  Buffer<std::uint32_t> search;
  Buffer<float> values;
  Buffer<std::uint32_t> kept;  // the result: positions in the whole span, ascending
};

// `guess` is a magnitude to begin the search at, such as the last row's; any value is right.
// values.size() >= k; every magnitude is below kRefusedMagnitude.
[[nodiscard]] Threshold find_threshold(std::span<const float> values, std::size_t k,
                                       std::uint32_t guess, Buffer<std::uint32_t>& candidates);

// Both scan every value: `squares` gets the sum of squares, in pieces of 4096 within each row.
// They return values.size(), or where a piece begins that holds a magnitude of kRefusedMagnitude
// or more. Afterwards memory.kept holds k entries of each row of `columns` values, or k of all.
[[nodiscard]] std::size_t select_per_row(std::span<const float> values, std::size_t columns,
                                         std::size_t k, TopKMemory& memory, double& squares);
[[nodiscard]] std::size_t select_global(std::span<const float> values, std::size_t k,
                                        TopKMemory& memory, double& squares);

}  // namespace longhaul::compression
