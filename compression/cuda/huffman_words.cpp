// Words by length, then by symbol; their bits turned round, since strings of bits begin lowest.
#include "compression/cuda/huffman_words.hpp"

namespace longhaul::compression::cuda {
namespace {

std::uint32_t reversed(std::uint32_t word, unsigned length) {
  std::uint32_t turned = 0;
  for (unsigned i = 0; i < length; ++i) turned |= (word >> i & 1U) << (length - 1 - i);
  return turned;
}

}  // namespace

std::optional<CanonicalWords> canonical_words(const WordLengths& lengths) {
  CanonicalWords words{};
  std::uint32_t next = 0;
  for (unsigned length = 1; length <= kLongestWord; ++length) {
    next *= 2;
    for (std::size_t symbol = 0; symbol < lengths.size(); ++symbol) {
      if (lengths[symbol] != length) continue;
      if (next >> length != 0) return std::nullopt;
      words[symbol] = reversed(next++, length) | length << 16;
    }
  }
  return words;
}

DecodingTable decoding_table(const CanonicalWords& words) {
  DecodingTable table{};
  for (std::size_t symbol = 0; symbol < words.size(); ++symbol) {
    const std::uint32_t length = words[symbol] >> 16;
    if (length == 0) continue;
    const auto entry = static_cast<std::uint32_t>(symbol << 8 | length);
    const std::size_t step = std::size_t{1} << length;
    for (std::size_t at = words[symbol] & 0xffffU; at < 2 * table.size(); at += step) {
      table[at / 2] |= entry << (at % 2 * 16);
    }
  }
  return table;
}

}  // namespace longhaul::compression::cuda
