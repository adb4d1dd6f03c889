// Remembers the tokens of words already merged, within a fixed amount of memory.
#pragma once

#include "compnode/data/tokenizer.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace longhaul::compnode {

// A table of one place per hash: a new word takes the place of an older one. One entry is one cache
// line, and the table stays small enough for a core's share of the last-level cache.
class WordCache {
 public:
  static constexpr std::size_t kMostBytes = 24;  // longer words are not kept
  static constexpr std::size_t kMostTokens = 9;  // nor words of more tokens

  // A word padded with zeros. Its length tells zeros in the word from the padding.
  struct Key {
    std::array<std::uint64_t, 3> words{};
    std::uint16_t bytes = 0;
  };

  struct alignas(64) Entry {
    std::array<std::uint64_t, 3> words{};
    std::uint16_t bytes = 0;  // 0: the place is empty
    std::uint16_t tokens = 0;
    std::array<TokenId, kMostTokens> ids{};  // the first `tokens` are the word's

    [[nodiscard]] bool holds(const Key& key) const {
      // Without branches: a call of memcmp takes longer.
      return ((words[0] ^ key.words[0]) | (words[1] ^ key.words[1]) | (words[2] ^ key.words[2]) |
              static_cast<std::uint64_t>(bytes ^ key.bytes)) == 0;
    }
  };
  static_assert(sizeof(Entry) == 64);

  WordCache() : entries_(kEntries) {}

  // `word` lies in a text that ends at `text_end`; 1 <= word.size() <= kMostBytes.
  [[nodiscard]] static Key key(std::string_view word, const char* text_end) {
    Key result;
    result.bytes = static_cast<std::uint16_t>(word.size());
    if (text_end - word.data() < static_cast<std::ptrdiff_t>(kMostBytes)) {
      std::memcpy(result.words.data(), word.data(), word.size());
      return result;
    }
    std::memcpy(result.words.data(), word.data(), kMostBytes);
    for (std::size_t i = 0; i < result.words.size(); ++i) result.words[i] &= kMasks[word.size()][i];
    return result;
  }

  // The one place where the word may be.
  [[nodiscard]] Entry& place(const Key& key) {
    std::uint64_t hash = key.words[0] * 0x9e3779b97f4a7c15u + key.bytes;
    hash = (hash ^ key.words[1]) * 0xbf58476d1ce4e5b9u;
    hash = (hash ^ hash >> 29 ^ key.words[2]) * 0x94d049bb133111ebu;
    return entries_[hash >> (64 - kEntryBits)];
  }

 private:
  static constexpr unsigned kEntryBits = 16;
  static constexpr std::size_t kEntries = std::size_t{1} << kEntryBits;

  // By length: which bytes of the padded word are the word's. Little-endian, as all our hosts are.
  static constexpr auto kMasks = [] {
    std::array<std::array<std::uint64_t, 3>, kMostBytes + 1> masks{};
    for (std::size_t bytes = 0; bytes <= kMostBytes; ++bytes) {
      for (std::size_t i = 0; i < bytes; ++i)
        masks[bytes][i / 8] |= std::uint64_t{0xff} << (8 * (i % 8));
    }
    return masks;
  }();

  std::vector<Entry> entries_;
};

}  // namespace longhaul::compnode
