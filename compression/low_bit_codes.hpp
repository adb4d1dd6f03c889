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

// What a Huffman code counts: a code of 8 or 6 bits, or two neighbouring codes of 4 or 3 bits, the
// first one lowest; a missing last one is 0. Symbols have 8, 6, 8 and 6 bits.
[[nodiscard]] constexpr unsigned symbol_width(unsigned bits) { return bits > 4 ? bits : 2 * bits; }
[[nodiscard]] constexpr std::size_t symbol_count(std::size_t codes, unsigned bits) {
  return bits > 4 ? codes : (codes + 1) / 2;
}
void codes_to_symbols(std::span<const std::int8_t> codes, unsigned bits, std::uint8_t* symbols);
void symbols_to_codes(const std::uint8_t* symbols, unsigned bits, std::span<std::int8_t> codes);

}  // namespace longhaul::compression
