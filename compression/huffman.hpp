// Codes of 8, 6, 4 or 3 bits under a canonical Huffman code (format.md, "Packed codes").
#pragma once

#include "compression/buffer.hpp"
#include "compression/error.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace longhaul::compression {

inline constexpr std::size_t kHuffmanChunk = 4096;  // codes
inline constexpr unsigned kLongestWord = 12;        // bits

using Frequencies = std::array<std::uint32_t, 256>;
using WordLengths = std::array<std::uint8_t, 256>;

// How often each code occurs, as an unsigned number of `bits` bits.
[[nodiscard]] Frequencies count_codes(std::span<const std::int8_t> codes, unsigned bits);

// The length of each code's word, at most kLongestWord; 0 for one that does not occur.
[[nodiscard]] WordLengths word_lengths(const Frequencies& frequencies);

// An upper bound on what packing takes, within one byte a chunk; without looking at the codes.
[[nodiscard]] std::size_t packed_code_bytes(const Frequencies& frequencies,
                                            const WordLengths& lengths, unsigned bits,
                                            std::size_t count);

// Writes the section, at most packed_code_bytes(); returns how many bytes.
std::size_t pack_huffman(std::span<const std::int8_t> codes, unsigned bits,
                         const WordLengths& lengths, std::byte* to);

// Foreign bytes, all of them, to codes.size() codes.
[[nodiscard]] Result<void> unpack_huffman(std::span<const std::byte> section, unsigned bits,
                                          std::span<std::int8_t> codes);

}  // namespace longhaul::compression
