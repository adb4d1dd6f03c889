// Codes of 8, 6, 4 or 3 bits in bytes: plain, side by side (format.md, "Plain codes").
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace longhaul::compression {

[[nodiscard]] constexpr std::size_t plain_code_bytes(std::size_t count, unsigned bits) {
  return (count * bits + 7) / 8;
}

// Writes plain_code_bytes(codes.size(), bits) bytes; the codes lie in -2^(bits-1) ... 2^(bits-1)-1.
void pack_codes(std::span<const std::int8_t> codes, unsigned bits, std::byte* to);

// Reads as many bytes and fills `codes`.
void unpack_codes(const std::byte* from, unsigned bits, std::span<std::int8_t> codes);

}  // namespace longhaul::compression
