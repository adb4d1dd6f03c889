// Merges the bytes of one word into tokens, lowest rank first.
#pragma once

#include "compnode/data/vocabulary.hpp"

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace longhaul::compnode {

// Reuses its memory from word to word. For one thread at a time.
class BytePairMerger {
 public:
  // Longer words are merged in pieces of this many bytes, which bounds memory to about 50 times as
  // much.
  static constexpr std::size_t kMostBytes = 4u << 20;

  // The vocabulary must outlive the merger.
  explicit BytePairMerger(const Vocabulary& vocabulary) : vocabulary_(vocabulary) {}

  // Repeats until no pair can merge: of the adjacent pairs, merge the one of lowest rank; of equal
  // ones the leftmost. O(n log n) in the word's bytes. Valid until the next call.
  // 1 <= word.size() <= kMostBytes.
  [[nodiscard]] std::span<const TokenId> merge(std::string_view word);

 private:
  // A place in the word that begins a token; merged away when it joins the token to its left.
  struct Part {
    TokenId id = 0;
    std::uint32_t rank = 0;  // of merging with the next part
    std::uint32_t previous = 0;
    std::uint32_t next = 0;
  };

  void merge_short(std::string_view word);
  void merge_long(std::string_view word);
  void push(std::uint32_t part);

  const Vocabulary& vocabulary_;
  std::vector<TokenId> ids_;
  std::vector<std::uint32_t> ranks_;
  std::vector<Part> parts_;
  std::vector<std::uint64_t> heap_;  // rank << 32 | place, least on top
};

}  // namespace longhaul::compnode
