// Symbols of 8 or 6 bits under a canonical Huffman code (format.md, "Packed codes").
#pragma once

#include "compression/buffer.hpp"
#include "compression/error.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace longhaul::compression {

inline constexpr std::size_t kHuffmanChunk = 4096;  // symbols
inline constexpr unsigned kLongestWord = 12;        // bits

using Frequencies = std::array<std::uint32_t, 256>;
using WordLengths = std::array<std::uint8_t, 256>;

[[nodiscard]] Frequencies count_symbols(std::span<const std::uint8_t> symbols);

// The length of each symbol's word, at most kLongestWord; 0 for one that does not occur.
[[nodiscard]] WordLengths word_lengths(const Frequencies& frequencies);

// An upper bound on what packing takes, within one byte a chunk; without looking at the symbols.
// `width` is the symbols' bits: 8 or 6.
[[nodiscard]] std::size_t packed_bytes(const Frequencies& frequencies, const WordLengths& lengths,
                                       unsigned width);

// Writes the section, at most packed_bytes(); returns how many bytes.
std::size_t pack_huffman(std::span<const std::uint8_t> symbols, unsigned width,
                         const WordLengths& lengths, std::byte* to);

// Foreign bytes, all of them, to symbols.size() symbols.
[[nodiscard]] Result<void> unpack_huffman(std::span<const std::byte> section, unsigned width,
                                          std::span<std::uint8_t> symbols);

}  // namespace longhaul::compression
