// Canonical Huffman codes of at most 12 bits, in chunks that do not depend on each other.
#include "compression/huffman.hpp"

#include "compression/bit_stream.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace longhaul::compression {
namespace {

constexpr std::size_t kTableSize = std::size_t{1} << kLongestWord;

// The words of all lengths, numbered as RFC 1951 does, first bit lowest.
struct Words {
  std::array<std::uint16_t, 256> bits{};
  bool overlap = false;
};

std::uint16_t reversed(std::uint32_t word, unsigned length) {
  std::uint32_t out = 0;
  for (unsigned i = 0; i < length; ++i) out |= (word >> i & 1U) << (length - 1 - i);
  return static_cast<std::uint16_t>(out);
}

Words words_of(const WordLengths& lengths) {
  std::array<std::uint32_t, kLongestWord + 1> of_length{};
  for (const std::uint8_t length : lengths) ++of_length[length];
  of_length[0] = 0;
  std::array<std::uint32_t, kLongestWord + 1> next{};
  std::uint32_t word = 0;
  Words words;
  for (unsigned length = 1; length <= kLongestWord; ++length) {
    word = (word + of_length[length - 1]) << 1;
    next[length] = word;
    if (word + of_length[length] > (1U << length)) words.overlap = true;
  }
  if (words.overlap) return words;
  for (std::size_t symbol = 0; symbol < lengths.size(); ++symbol) {
    if (lengths[symbol] != 0)
      words.bits[symbol] = reversed(next[lengths[symbol]]++, lengths[symbol]);
  }
  return words;
}

struct Node {
  std::uint64_t weight = 0;
  std::size_t parent = 0;
};

// One Huffman tree over leaves in the order of weight, then symbol. Returns the longest length.
unsigned tree_lengths(std::span<const std::uint64_t> weights, WordLengths& lengths) {
  std::vector<std::uint16_t> leaves;
  for (std::size_t symbol = 0; symbol < weights.size(); ++symbol) {
    if (weights[symbol] != 0) leaves.push_back(static_cast<std::uint16_t>(symbol));
  }
  lengths.fill(0);
  if (leaves.empty()) return 0;
  if (leaves.size() == 1) return lengths[leaves[0]] = 1;
  std::ranges::stable_sort(leaves, {}, [&](std::uint16_t symbol) { return weights[symbol]; });
  std::vector<Node> nodes;  // the leaves, then the joined trees, oldest first
  nodes.reserve(2 * leaves.size());
  for (const std::uint16_t symbol : leaves) nodes.push_back({.weight = weights[symbol]});
  std::size_t leaf = 0;
  std::size_t joined = leaves.size();
  const auto lightest = [&] {
    const bool take_leaf = leaf < leaves.size() &&
                           (joined == nodes.size() || nodes[leaf].weight <= nodes[joined].weight);
    return take_leaf ? leaf++ : joined++;
  };
  while (nodes.size() < 2 * leaves.size() - 1) {
    const std::size_t a = lightest();
    const std::size_t b = lightest();
    nodes[a].parent = nodes[b].parent = nodes.size();
    nodes.push_back({.weight = nodes[a].weight + nodes[b].weight});
  }
  std::vector<unsigned> depth(nodes.size(), 0);
  unsigned longest = 0;
  for (std::size_t node = nodes.size() - 1; node-- > 0;) {
    depth[node] = depth[nodes[node].parent] + 1;
    if (node >= leaves.size()) continue;
    longest = std::max(longest, depth[node]);
    lengths[leaves[node]] = static_cast<std::uint8_t>(std::min(depth[node], 255U));
  }
  return longest;
}

std::size_t table_bytes(unsigned width) { return std::size_t{1} << (width - 1); }

std::size_t chunks_of(std::size_t count) { return (count + kHuffmanChunk - 1) / kHuffmanChunk; }

// What the next 12 bits begin with: the symbol in the upper byte, its length in the lower; 0: no
// word.
using Table = std::array<std::uint16_t, kTableSize>;

void fill_table(const WordLengths& lengths, const Words& words, unsigned width, Table& table) {
  table.fill(0);
  for (std::size_t symbol = 0; symbol < std::size_t{1} << width; ++symbol) {
    const unsigned length = lengths[symbol];
    if (length == 0) continue;
    const auto entry = static_cast<std::uint16_t>(symbol << 8 | length);
    for (std::size_t at = words.bits[symbol]; at < kTableSize; at += std::size_t{1} << length) {
      table[at] = entry;
    }
  }
}

// Takes one symbol off; 0 if the next bits are no word.
unsigned take_symbol(BitReader& reader, const Table& table, std::uint8_t& symbol) {
  const std::uint16_t entry = table[reader.peek() & (kTableSize - 1)];
  const unsigned length = entry & 0xffU;
  reader.skip(length);
  symbol = static_cast<std::uint8_t>(entry >> 8);
  return length;
}

constexpr std::size_t kLanesUnpacked = 4;
constexpr std::size_t kStride = 4;  // words that fit into what a refill gives

// To the end of the chunk.
bool unpack_rest(BitReader& reader, const Table& table, std::span<std::uint8_t> symbols) {
  for (std::uint8_t& symbol : symbols) {
    reader.refill();
    const unsigned have = reader.have();
    const unsigned length = take_symbol(reader, table, symbol);
    if (length == 0 || length > have) return false;
  }
  return reader.at_end();
}

// Several chunks of the same length, a stride of each in turn: a word begins where the one before
// it ends, so that one chunk alone leaves the processor waiting.
template <std::size_t kLaneCount>
bool unpack_chunks(std::array<BitReader, kLaneCount> readers, const Table& table,
                   std::uint8_t* symbols, std::size_t length) {
  std::size_t i = 0;
  bool words = true;
  for (; i + kStride <= length; i += kStride) {
    unsigned have = 64;
    for (BitReader& reader : readers) {
      reader.refill();
      have = std::min(have, reader.have());
    }
    if (have < kStride * kLongestWord) break;
    for (std::size_t j = i; j < i + kStride; ++j) {
      for (std::size_t lane = 0; lane < kLaneCount; ++lane) {
        words &= take_symbol(readers[lane], table, symbols[lane * length + j]) != 0;
      }
    }
  }
  for (std::size_t lane = 0; lane < kLaneCount; ++lane) {
    words &= unpack_rest(readers[lane], table, {symbols + lane * length + i, length - i});
  }
  return words;
}

// The chunk at the front of `rest`, whose length is at `chunk_bytes`; both move on.
Result<BitReader> next_chunk(const std::byte*& chunk_bytes, std::span<const std::byte>& rest) {
  std::uint16_t length = 0;
  std::memcpy(&length, chunk_bytes, 2);
  chunk_bytes += 2;
  if (length > rest.size()) return Error{"a chunk of packed codes is cut off"};
  const BitReader reader(rest.first(length));
  rest = rest.subspan(length);
  return reader;
}

template <std::size_t kLaneCount>
Result<void> unpack_next(const std::byte*& chunk_bytes, std::span<const std::byte>& rest,
                         const Table& table, std::span<std::uint8_t>& symbols, std::size_t length) {
  std::array<BitReader, kLaneCount> readers;
  for (BitReader& reader : readers) {
    const auto next = next_chunk(chunk_bytes, rest);
    if (next.has_error()) return next.error();
    reader = next.value();
  }
  if (!unpack_chunks<kLaneCount>(readers, table, symbols.data(), length)) {
    return Error{
        fmt::format("a chunk of packed codes, {} symbols from the end, is broken", symbols.size())};
  }
  symbols = symbols.subspan(kLaneCount * length);
  return {};
}

}  // namespace

Frequencies count_symbols(std::span<const std::uint8_t> symbols) {
  // Four counters for each symbol: neighbours that are equal do not wait for each other.
  std::array<Frequencies, 4> counts{};
  std::size_t i = 0;
  for (; i + 4 <= symbols.size(); i += 4) {
    for (std::size_t j = 0; j < 4; ++j) ++counts[j][symbols[i + j]];
  }
  for (; i < symbols.size(); ++i) ++counts[0][symbols[i]];
  Frequencies frequencies{};
  for (const Frequencies& part : counts) {
    for (std::size_t symbol = 0; symbol < 256; ++symbol) frequencies[symbol] += part[symbol];
  }
  return frequencies;
}

WordLengths word_lengths(const Frequencies& frequencies) {
  std::array<std::uint64_t, 256> weights{};
  std::ranges::copy(frequencies, weights.begin());
  WordLengths lengths{};
  while (tree_lengths(weights, lengths) > kLongestWord) {
    for (std::uint64_t& weight : weights) weight = (weight + 1) / 2;
  }
  return lengths;
}

std::size_t packed_bytes(const Frequencies& frequencies, const WordLengths& lengths,
                         unsigned width) {
  std::size_t bits = 0;
  std::size_t count = 0;
  for (std::size_t symbol = 0; symbol < 256; ++symbol) {
    bits += std::size_t{frequencies[symbol]} * lengths[symbol];
    count += frequencies[symbol];
  }
  return table_bytes(width) + 3 * chunks_of(count) + bits / 8 + 1;
}

std::size_t pack_huffman(std::span<const std::uint8_t> symbols, unsigned width,
                         const WordLengths& lengths, std::byte* to) {
  std::byte* const begin = to;
  for (std::size_t symbol = 0; symbol < std::size_t{1} << width; symbol += 2) {
    *to++ = static_cast<std::byte>(lengths[symbol] | lengths[symbol + 1] << 4);
  }
  std::byte* chunk_bytes = to;
  to += 2 * chunks_of(symbols.size());
  const Words words = words_of(lengths);
  std::array<std::uint32_t, 256> entries{};  // word and length
  for (std::size_t symbol = 0; symbol < 256; ++symbol) {
    entries[symbol] = std::uint32_t{words.bits[symbol]} << 8 | lengths[symbol];
  }
  for (std::size_t first = 0; first < symbols.size(); first += kHuffmanChunk) {
    const auto chunk = symbols.subspan(first, std::min(kHuffmanChunk, symbols.size() - first));
    BitWriter writer(to);
    std::size_t i = 0;
    for (; i + 2 <= chunk.size(); i += 2) {
      const std::uint32_t a = entries[chunk[i]];
      const std::uint32_t b = entries[chunk[i + 1]];
      writer.put(a >> 8 | std::uint64_t{b >> 8} << (a & 0xff), (a & 0xff) + (b & 0xff));
    }
    if (i < chunk.size()) writer.put(entries[chunk[i]] >> 8, entries[chunk[i]] & 0xff);
    std::byte* const end = writer.finish();
    const auto length = static_cast<std::uint16_t>(end - to);
    std::memcpy(chunk_bytes, &length, 2);
    chunk_bytes += 2;
    to = end;
  }
  return static_cast<std::size_t>(to - begin);
}

Result<void> unpack_huffman(std::span<const std::byte> section, unsigned width,
                            std::span<std::uint8_t> symbols) {
  const std::size_t head = table_bytes(width) + 2 * chunks_of(symbols.size());
  if (section.size() < head) {
    return Error{fmt::format("packed codes have {} bytes, less than their header", section.size())};
  }
  WordLengths lengths{};
  for (std::size_t i = 0; i < table_bytes(width); ++i) {
    lengths[2 * i] = std::to_integer<std::uint8_t>(section[i] & std::byte{15});
    lengths[2 * i + 1] = std::to_integer<std::uint8_t>(section[i] >> 4);
  }
  if (std::ranges::max(lengths) > kLongestWord) {
    return Error{fmt::format("a word of packed codes is longer than {} bits", kLongestWord)};
  }
  const Words words = words_of(lengths);
  if (words.overlap) return Error{"the words of packed codes overlap"};
  Table table;
  fill_table(lengths, words, width, table);
  const std::byte* chunk_bytes = section.data() + table_bytes(width);
  auto rest = section.subspan(head);
  while (!symbols.empty()) {
    const auto done =
        symbols.size() >= kLanesUnpacked * kHuffmanChunk
            ? unpack_next<kLanesUnpacked>(chunk_bytes, rest, table, symbols, kHuffmanChunk)
            : unpack_next<1>(chunk_bytes, rest, table, symbols,
                             std::min(kHuffmanChunk, symbols.size()));
    if (done.has_error()) return done.error();
  }
  if (!rest.empty()) return Error{"packed codes have bytes after their last chunk"};
  return {};
}

}  // namespace longhaul::compression
