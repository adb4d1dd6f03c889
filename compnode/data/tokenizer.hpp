// GPT-2's byte-level byte-pair encoding: text to token ids and back.
#pragma once

#include "proto/error.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::compnode {

using TokenId = std::uint32_t;

class Vocabulary;
class WordSplitter;

// An immutable tokeniser; copies share their tables, and any number of threads may use one.
//
// Text is bytes. What is valid UTF-8 is split by GPT-2's expression
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
// where \s is Unicode's White_Space, and the bytes of each word are merged by rank. A run of bytes
// that is not UTF-8 is a word of its own, and the text before it ends there. So every byte string
// encodes, and decode(encode(text)) == text. Special tokens are never recognised in text: a
// document that contains "<|endoftext|>" cannot forge the end of a document.
class Tokenizer {
 public:
  // Reads a folder with vocab.json and merges.txt, or encoder.json and vocab.bpe (OpenAI's names),
  // or tokenizer.json; the first pair that is there. `path` may also be a tokenizer.json itself.
  // Errors are kConfiguration and name the file: missing or oversized (64 MiB), not JSON, ids that
  // repeat or exceed 2^22, a byte without a token, a merge of unknown tokens, no end-of-text token,
  // or a tokenizer.json that asks for anything but byte-level BPE with GPT-2's expression.
  [[nodiscard]] static proto::Result<Tokenizer> load(const std::filesystem::path& path);

  // One past the greatest id.
  [[nodiscard]] std::int64_t vocabulary_size() const;
  // "<|endoftext|>", else "<|end_of_text|>", else "</s>".
  [[nodiscard]] TokenId end_of_text() const;
  // Of the tokenizer files' bytes: equal hashes, equal ids. 32 hexadecimal digits.
  [[nodiscard]] const std::string& content_hash() const;

  // For texts of any length; for many texts a TokenEncoder is faster.
  [[nodiscard]] std::vector<TokenId> encode(std::string_view text) const;
  // The bytes of the tokens, joined; cuts through characters where the ids do. An id that the
  // vocabulary lacks is a kConfiguration error.
  [[nodiscard]] proto::Result<std::string> decode(std::span<const TokenId> ids) const;

 private:
  friend class TokenEncoder;
  Tokenizer() = default;

  std::shared_ptr<const Vocabulary> vocabulary_;
  std::shared_ptr<const WordSplitter> splitter_;
};

// Encodes text after text with a cache of words already seen (4 MiB). For one thread at a time.
class TokenEncoder {
 public:
  using Sink = std::function<void(std::span<const TokenId>)>;

  explicit TokenEncoder(const Tokenizer& tokenizer);
  TokenEncoder(TokenEncoder&&) noexcept;
  TokenEncoder& operator=(TokenEncoder&&) noexcept;
  ~TokenEncoder();

  // Appends the ids of `text`.
  void encode(std::string_view text, std::vector<TokenId>& ids);
  // Hands the ids on in batches that are valid during the call, so that a text need not fit into
  // memory as ids. Never an empty batch.
  void encode(std::string_view text, const Sink& sink);
  // How far the text is encoded, to the nearest few words; for a sink that shows progress.
  [[nodiscard]] std::size_t bytes_encoded() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace longhaul::compnode
