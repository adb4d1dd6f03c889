// Value sections: numbers in any of the value formats (format.md, "Values").
#pragma once

#include "compression/error.hpp"
#include "compression/kernels.hpp"
#include "compression/rung.hpp"
#include "compression/workspace.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace longhaul::compression {

// How a section is written: what its payload's header says.
struct ValueLayout {
  ValueFormat format = ValueFormat::kFp32;
  std::size_t block = 0;
  bool packed = false;
  bool rotated = false;
};

// Bytes of a section that is not packed.
[[nodiscard]] std::size_t plain_value_bytes(const ValueLayout& layout, std::size_t count);

// What write_values did. `refused` is values.size(), or where a block or piece begins that holds a
// value that the codecs refuse; then nothing else is of meaning.
struct WrittenValues {
  std::size_t refused = 0;
  std::size_t bytes = 0;
  bool packed = false;  // only where that is shorter
};

// Writes at most plain_value_bytes() to `to`, which is aligned to 4. Adds to `sums`. `seed` is of
// rotation, `key` of stochastic rounding.
struct WriteOptions {
  bool stochastic = false;
  std::uint64_t key = 0;
  std::uint32_t seed = 0;
};
[[nodiscard]] WrittenValues write_values(std::span<const float> values, const ValueLayout& layout,
                                         const WriteOptions& options, Workspace::Memory& memory,
                                         std::byte* to, Sums& sums);

// Foreign bytes, all of them, to values.size() finite values.
[[nodiscard]] Result<void> read_values(std::span<const std::byte> section,
                                       const ValueLayout& layout, std::uint32_t seed,
                                       Workspace::Memory& memory, std::span<float> values);

// To the nearest, ties to even; of equal length.
void narrow_to_bf16(std::span<const float> values, std::uint16_t* to);
void widen_from_bf16(const std::uint16_t* from, std::span<float> values);

}  // namespace longhaul::compression
