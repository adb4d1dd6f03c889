// Text to words to cached tokens, and back.
#include "compnode/data/tokenizer.hpp"

#include "compnode/data/byte_pair_merger.hpp"
#include "compnode/data/tokenizer_files.hpp"
#include "compnode/data/vocabulary.hpp"
#include "compnode/data/word_cache.hpp"
#include "compnode/data/word_splitter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

namespace longhaul::compnode {

proto::Result<Tokenizer> Tokenizer::load(const std::filesystem::path& path) {
  auto files = read_tokenizer_files(path);
  if (!files) return files.error();
  auto vocabulary = Vocabulary::make(std::move(*files));
  if (!vocabulary) return proto::with_context(path.string(), vocabulary.error());
  Tokenizer tokenizer;
  tokenizer.vocabulary_ = std::make_shared<const Vocabulary>(std::move(*vocabulary));
  tokenizer.splitter_ = std::make_shared<const WordSplitter>();
  return tokenizer;
}

std::int64_t Tokenizer::vocabulary_size() const { return vocabulary_->size(); }
TokenId Tokenizer::end_of_text() const { return vocabulary_->end_of_text(); }
const std::string& Tokenizer::content_hash() const { return vocabulary_->content_hash(); }

std::vector<TokenId> Tokenizer::encode(std::string_view text) const {
  std::vector<TokenId> ids;
  TokenEncoder(*this).encode(text, ids);
  return ids;
}

proto::Result<std::string> Tokenizer::decode(std::span<const TokenId> ids) const {
  std::string text;
  for (const TokenId id : ids) {
    const auto bytes = vocabulary_->bytes(id);
    if (!bytes) {
      return proto::configuration_error(
          fmt::format("no token has the id {}; the vocabulary has {}", id, vocabulary_size()));
    }
    text += *bytes;
  }
  return text;
}

struct TokenEncoder::State {
  explicit State(const Tokenizer& tokenizer)
      : vocabulary(tokenizer.vocabulary_),
        splitter(tokenizer.splitter_),
        matcher(*splitter),
        merger(*vocabulary) {}

  void encode_words(std::string_view text, const char* text_end, const Sink& sink);
  void encode_word(std::string_view word, const char* text_end, const Sink& sink);
  void merge(std::string_view word, const Sink& sink);
  void append(std::span<const TokenId> ids, const Sink& sink);
  void flush(const Sink& sink);

  static constexpr std::size_t kBatch = 16384;

  std::shared_ptr<const Vocabulary> vocabulary;
  std::shared_ptr<const WordSplitter> splitter;
  WordSplitter::Matcher matcher;
  BytePairMerger merger;
  WordCache cache;
  std::size_t bytes_encoded = 0;
  std::size_t pending_count = 0;
  std::array<TokenId, kBatch> pending{};
};

void TokenEncoder::State::flush(const Sink& sink) {
  if (pending_count == 0) return;
  sink(std::span<const TokenId>(pending).first(pending_count));
  pending_count = 0;
}

void TokenEncoder::State::append(std::span<const TokenId> ids, const Sink& sink) {
  while (!ids.empty()) {
    if (pending_count == kBatch) flush(sink);
    const std::size_t fits = std::min(ids.size(), kBatch - pending_count);
    std::copy_n(ids.begin(), fits, pending.begin() + static_cast<std::ptrdiff_t>(pending_count));
    pending_count += fits;
    ids = ids.subspan(fits);
  }
}

void TokenEncoder::State::merge(std::string_view word, const Sink& sink) {
  while (!word.empty()) {
    const std::string_view piece = word.substr(0, BytePairMerger::kMostBytes);
    append(merger.merge(piece), sink);
    word.remove_prefix(piece.size());
  }
}

void TokenEncoder::State::encode_word(std::string_view word, const char* text_end,
                                      const Sink& sink) {
  if (word.size() > WordCache::kMostBytes) return merge(word, sink);
  const WordCache::Key key = WordCache::key(word, text_end);
  WordCache::Entry& entry = cache.place(key);
  if (!entry.holds(key)) [[unlikely]] {
    const auto ids = merger.merge(word);
    if (ids.size() > entry.ids.size()) return append(ids, sink);
    entry.words = key.words;
    entry.bytes = key.bytes;
    entry.tokens = static_cast<std::uint16_t>(ids.size());
    std::copy(ids.begin(), ids.end(), entry.ids.begin());
  }
  // Copies a fixed number, which is faster than copying what is needed.
  if (kBatch - pending_count < entry.ids.size()) flush(sink);
  std::memcpy(pending.data() + pending_count, entry.ids.data(), sizeof entry.ids);
  pending_count += entry.tokens;
}

void TokenEncoder::State::encode_words(std::string_view text, const char* text_end,
                                       const Sink& sink) {
  std::size_t ends[WordSplitter::Matcher::kMostWords];
  std::size_t begin = 0;
  while (begin < text.size()) {
    const std::size_t from = begin;
    const std::size_t words = matcher.next(text, begin, ends);
    for (std::size_t i = 0; i < words; ++i) {
      encode_word(text.substr(begin, ends[i] - begin), text_end, sink);
      begin = ends[i];
    }
    bytes_encoded += begin - from;
  }
}

TokenEncoder::TokenEncoder(const Tokenizer& tokenizer)
    : state_(std::make_unique<State>(tokenizer)) {}
TokenEncoder::TokenEncoder(TokenEncoder&&) noexcept = default;
TokenEncoder& TokenEncoder::operator=(TokenEncoder&&) noexcept = default;
TokenEncoder::~TokenEncoder() = default;

std::size_t TokenEncoder::bytes_encoded() const { return state_->bytes_encoded; }

void TokenEncoder::encode(std::string_view text, std::vector<TokenId>& ids) {
  encode(text, [&ids](std::span<const TokenId> batch) {
    ids.insert(ids.end(), batch.begin(), batch.end());
  });
}

void TokenEncoder::encode(std::string_view text, const Sink& sink) {
  const char* const text_end = text.data() + text.size();
  state_->bytes_encoded = 0;
  while (!text.empty()) {
    const std::size_t valid = valid_utf8_prefix(text);
    state_->encode_words(text.substr(0, valid), text_end, sink);
    text.remove_prefix(valid);
    std::size_t invalid = 0;
    while (invalid < text.size() && valid_utf8_prefix(text.substr(invalid, 4)) == 0) ++invalid;
    state_->merge(text.substr(0, invalid), sink);
    state_->bytes_encoded += invalid;
    text.remove_prefix(invalid);
  }
  state_->flush(sink);
}

}  // namespace longhaul::compnode
