// Canonical words for the kernels of huffman.cu: numbered as RFC 1951, 3.2.2 does.
#pragma once

#include "compression/huffman.hpp"

#include <array>
#include <cstdint>
#include <optional>

namespace longhaul::compression::cuda {

// By symbol: the word, its first bit lowest, and its length from bit 16 on; 0 for no word.
using CanonicalWords = std::array<std::uint32_t, 256>;

// None where words overlap. Lengths are at most kLongestWord.
[[nodiscard]] std::optional<CanonicalWords> canonical_words(const WordLengths& lengths);

// What kLongestWord bits begin with, two entries a word, the first lower: the symbol in an entry's
// upper byte, its length; 0: no word.
using DecodingTable = std::array<std::uint32_t, (std::size_t{1} << kLongestWord) / 2>;
[[nodiscard]] DecodingTable decoding_table(const CanonicalWords& words);

}  // namespace longhaul::compression::cuda
