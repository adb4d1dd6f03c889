// Tokens and merges as tables for encoding and decoding.
#pragma once

#include "compnode/data/tokenizer.hpp"
#include "compnode/data/tokenizer_files.hpp"
#include "proto/error.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::compnode {

// Immutable after make.
class Vocabulary {
 public:
  static constexpr std::uint32_t kMostTokens = 1u << 22;
  static constexpr std::uint32_t kNoMerge = 0xffffffff;  // greater than every rank

  struct Merge {
    std::uint32_t rank = kNoMerge;  // lower merges first
    TokenId result = 0;
  };

  // Checks that ids and names do not repeat, every byte has a token, every merge joins known tokens
  // into a known one and appears once, and that there is an end-of-text token. kConfiguration.
  [[nodiscard]] static proto::Result<Vocabulary> make(TokenizerFiles files);

  [[nodiscard]] std::uint32_t size() const { return static_cast<std::uint32_t>(ranges_.size()); }
  [[nodiscard]] TokenId end_of_text() const { return end_of_text_; }
  [[nodiscard]] const std::string& content_hash() const { return content_hash_; }
  [[nodiscard]] TokenId byte_token(unsigned char byte) const { return byte_tokens_[byte]; }
  // nullopt: no token has this id.
  [[nodiscard]] std::optional<std::string_view> bytes(TokenId id) const;

  [[nodiscard]] Merge merge(TokenId left, TokenId right) const {
    const std::uint64_t key = std::uint64_t{left} << 32 | right;
    for (std::uint64_t slot = hash(key);; ++slot) {
      const Slot& candidate = slots_[slot & slot_mask_];
      if (candidate.key == key || candidate.merge.rank == kNoMerge) return candidate.merge;
    }
  }

 private:
  // Open addressing, at most half full; an empty slot has no rank.
  struct Slot {
    std::uint64_t key = 0;
    Merge merge;
  };

  Vocabulary() = default;
  [[nodiscard]] static std::uint64_t hash(std::uint64_t key) {
    key *= 0x9e3779b97f4a7c15u;
    return key ^ key >> 32;
  }
  [[nodiscard]] proto::Result<void> add_tokens(const std::vector<NamedToken>& tokens);
  [[nodiscard]] proto::Result<void> add_merges(const TokenizerFiles& files);
  void insert(std::uint64_t key, Merge merge);

  struct Range {
    std::uint32_t begin = kNoToken;  // in text_
    std::uint32_t size = 0;
  };
  static constexpr std::uint32_t kNoToken = 0xffffffff;

  std::string text_;           // the bytes of all tokens
  std::vector<Range> ranges_;  // by id
  std::array<TokenId, 256> byte_tokens_{};
  std::vector<Slot> slots_;
  std::uint64_t slot_mask_ = 0;
  TokenId end_of_text_ = 0;
  std::string content_hash_;
};

}  // namespace longhaul::compnode
