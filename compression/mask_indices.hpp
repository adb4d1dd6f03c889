// Where the kept entries are: mask order, gaps and their Golomb codes (format.md, "4: top-k").
#pragma once

#include "compression/buffer.hpp"
#include "compression/error.hpp"
#include "compression/tensor_codec.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace longhaul::compression {

// Row-major positions, ascending, into mask order. `mask` gets the positions in that order,
// `places` their places, ascending; both as long as `kept`. `counts` is memory.
void to_mask_order(std::span<const std::uint32_t> kept, Shape shape, Buffer<std::uint32_t>& counts,
                   std::span<std::uint32_t> mask, std::span<std::uint32_t> places);

// What the encoder has decided about an index section before it writes it.
struct IndexPlan {
  bool fine = false;      // a parameter for 64 gaps, not 2048
  std::size_t bytes = 0;  // with padding
};
// `places` becomes gaps in place. `parameters` and `group_bytes` are what write_index_section
// needs.
[[nodiscard]] IndexPlan plan_index_section(std::span<std::uint32_t> places,
                                           Buffer<std::uint8_t>& parameters,
                                           Buffer<std::uint16_t>& group_bytes);

// Writes plan.bytes bytes.
void write_index_section(std::span<const std::uint32_t> gaps, const IndexPlan& plan,
                         std::span<const std::uint8_t> parameters,
                         std::span<const std::uint16_t> group_bytes, std::byte* to);

// Foreign bytes to the row-major positions of mask.size() entries, in mask order.
[[nodiscard]] Result<void> read_index_section(std::span<const std::byte> section, bool fine,
                                              Shape shape, std::span<std::uint32_t> mask);

}  // namespace longhaul::compression
