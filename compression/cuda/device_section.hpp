// Value sections and index sections of tensors on a device: made there, copied into payloads.
#pragma once

#include "compression/cuda/device_memory.hpp"
#include "compression/error.hpp"
#include "compression/huffman.hpp"
#include "compression/tensor_codec.hpp"
#include "compression/value_section.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace longhaul::compression::cuda {

// The sum of squares of values in pieces of 4096, as the format adds them. Sets memory.refused[0]
// to the lowest position of a refused value, if that is lower.
[[nodiscard]] double sum_of_squares(In<float> values, uint32_t rows, uint32_t columns,
                                    Measured measured, DeviceMemory& memory);

// Empties memory.refused; and what it holds, kNoPosition if nothing.
void expect_no_refusal(DeviceMemory& memory);
[[nodiscard]] uint32_t first_refusal(const DeviceMemory& memory);

// A section that lies on the device, in `memory`, until the next one.
struct PreparedValues {
  uint32_t refused = kNoPosition;  // the lowest position of a refused value; then no more is set
  bool packed = false;
  std::size_t bytes = 0;
  std::size_t packed_bytes = 0;  // of the chunks, if packed
  Sums sums = {};
  WordLengths lengths = {};  // if packed
};
[[nodiscard]] PreparedValues prepare_values(In<float> values, std::size_t count,
                                            const ValueLayout& layout, const WriteOptions& options,
                                            DeviceMemory& memory);
// prepared.bytes bytes to `to`; values, count, layout as given before.
void copy_values(const PreparedValues& prepared, In<float> values, std::size_t count,
                 const ValueLayout& layout, const DeviceMemory& memory, std::byte* to);

// Foreign bytes, all of them, to `count` finite values on the device.
[[nodiscard]] Result<void> read_section(std::span<const std::byte> section,
                                        const ValueLayout& layout, uint32_t seed,
                                        DeviceMemory& memory, Out<float> values, std::size_t count);

// An index section for `places`, ascending, of `count` entries.
struct PreparedIndices {
  bool fine = false;
  std::size_t bytes = 0;      // with padding
  std::size_t bit_bytes = 0;  // of the groups
};
[[nodiscard]] PreparedIndices prepare_indices(In<uint32_t> places, std::size_t count,
                                              DeviceMemory& memory);
void copy_indices(const PreparedIndices& prepared, In<uint32_t> places, std::size_t count,
                  DeviceMemory& memory, std::byte* to);

// Foreign bytes to the positions of `count` entries, in mask order.
[[nodiscard]] Result<void> read_indices(std::span<const std::byte> section, bool fine, Shape shape,
                                        std::size_t count, DeviceMemory& memory,
                                        Out<uint32_t> mask);

}  // namespace longhaul::compression::cuda
