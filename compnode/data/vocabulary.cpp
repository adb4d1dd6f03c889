// Checks what the tokeniser's files say, and lays it out for speed.
#include "compnode/data/vocabulary.hpp"

#include "compnode/data/byte_alphabet.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <bitset>
#include <unordered_map>

namespace longhaul::compnode {
namespace {

// In this order: the first that the vocabulary has.
constexpr std::array<std::string_view, 3> kEndOfText{"<|endoftext|>", "<|end_of_text|>", "</s>"};
constexpr std::size_t kMostMerges = 1u << 21;

using IdByName = std::unordered_map<std::string_view, TokenId>;

proto::Result<TokenId> merged(const IdByName& ids, const NamedMerge& merge) {
  for (const std::string& side : {merge.left, merge.right}) {
    if (!ids.contains(side)) {
      return proto::configuration_error(fmt::format("\"{}\" is not in the vocabulary", side));
    }
  }
  const auto found = ids.find(merge.left + merge.right);
  if (found == ids.end()) {
    return proto::configuration_error(
        fmt::format("the result \"{}{}\" is not in the vocabulary", merge.left, merge.right));
  }
  return found->second;
}

}  // namespace

proto::Result<Vocabulary> Vocabulary::make(TokenizerFiles files) {
  Vocabulary vocabulary;
  if (auto added = vocabulary.add_tokens(files.tokens); !added) return added.error();
  if (auto added = vocabulary.add_merges(files); !added) return added.error();
  vocabulary.content_hash_ = std::move(files.content_hash);
  return vocabulary;
}

std::optional<std::string_view> Vocabulary::bytes(TokenId id) const {
  if (id >= ranges_.size() || ranges_[id].begin == kNoToken) return std::nullopt;
  return std::string_view(text_).substr(ranges_[id].begin, ranges_[id].size);
}

proto::Result<void> Vocabulary::add_tokens(const std::vector<NamedToken>& tokens) {
  std::bitset<256> has_byte;
  for (const NamedToken& token : tokens) {
    if (token.id >= ranges_.size()) ranges_.resize(token.id + 1);
    if (ranges_[token.id].begin != kNoToken) {
      return proto::configuration_error(
          fmt::format("two tokens have the id {}; one is \"{}\"", token.id, token.name));
    }
    const auto bytes = bytes_of_symbols(token.name);
    // A special token may be written in characters that stand for no byte: they are its text.
    const std::string& text = bytes ? *bytes : token.name;
    ranges_[token.id] = {static_cast<std::uint32_t>(text_.size()),
                         static_cast<std::uint32_t>(text.size())};
    text_ += text;
    if (bytes && bytes->size() == 1) {
      const auto byte = static_cast<unsigned char>(bytes->front());
      byte_tokens_[byte] = token.id;
      has_byte.set(byte);
    }
  }
  if (!has_byte.all()) {
    unsigned missing = 0;
    while (has_byte.test(missing)) ++missing;
    return proto::configuration_error(fmt::format(
        "the vocabulary has no token for byte {:#04x}: it is not a byte-level tokenizer", missing));
  }
  return {};
}

proto::Result<void> Vocabulary::add_merges(const TokenizerFiles& files) {
  IdByName ids;
  ids.reserve(files.tokens.size());
  for (const NamedToken& token : files.tokens) {
    if (!ids.emplace(token.name, token.id).second) {
      return proto::configuration_error(fmt::format("token \"{}\" appears twice", token.name));
    }
  }
  const auto end = std::find_if(kEndOfText.begin(), kEndOfText.end(),
                                [&](std::string_view name) { return ids.contains(name); });
  if (end == kEndOfText.end()) {
    return proto::configuration_error(
        "the vocabulary has no end-of-text token: <|endoftext|>, <|end_of_text|> or </s>");
  }
  end_of_text_ = ids.at(*end);

  if (files.merges.size() > kMostMerges) {
    return proto::configuration_error(
        fmt::format("{} merges are too many, at most {}", files.merges.size(), kMostMerges));
  }
  slots_.resize(std::bit_ceil(2 * files.merges.size() + 2));
  slot_mask_ = slots_.size() - 1;
  for (std::uint32_t rank = 0; rank < files.merges.size(); ++rank) {
    const NamedMerge& merge_names = files.merges[rank];
    const auto result = merged(ids, merge_names);
    if (!result) return proto::with_context(fmt::format("merge {}", rank + 1), result.error());
    const TokenId left = ids.at(merge_names.left);
    const TokenId right = ids.at(merge_names.right);
    if (merge(left, right).rank != kNoMerge) {
      return proto::configuration_error(fmt::format("merge {}: \"{} {}\" appears twice", rank + 1,
                                                    merge_names.left, merge_names.right));
    }
    insert(std::uint64_t{left} << 32 | right, {rank, *result});
  }
  return {};
}

void Vocabulary::insert(std::uint64_t key, Merge merge_value) {
  std::uint64_t slot = hash(key);
  while (slots_[slot & slot_mask_].merge.rank != kNoMerge) ++slot;
  slots_[slot & slot_mask_] = {key, merge_value};
}

}  // namespace longhaul::compnode
