// Checks a data source, opens its token stream, and reads sequences from it.
#include "compnode/data/dataset.hpp"

#include "compnode/data/content_hash.hpp"
#include "compnode/data/documents.hpp"
#include "compnode/files/mapped_file.hpp"
#include "compnode/files/new_folders.hpp"
#include "compnode/data/token_cache.hpp"
#include "compnode/data/token_stream.hpp"
#include "compnode/data/tokenizer.hpp"
#include "proto/assert.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <filesystem>
#include <system_error>
#include <utility>

namespace longhaul::compnode {
namespace {

proto::Error does_not_fit(const std::string& where, const std::string& what,
                          std::int64_t vocabulary_size) {
  return proto::configuration_error(fmt::format(
      "{}: a vocabulary that does not fit the config: {}, and the model's vocab_size is {}; "
      "use the model's own tokenizer, or a larger vocab_size",
      where, what, vocabulary_size));
}

// Text or token ids: all files are of the kind returned, text and records counting as one.
proto::Result<SourceKind> check_files(const wire::DataSource& source) {
  if (source.train().empty()) return proto::configuration_error("data.train names no file");
  if (source.sequence_length() == 0)
    return proto::configuration_error("data.sequence_length must be at least 1");
  std::size_t of_tokens = 0;
  for (const std::string& name : source.train()) {
    const auto kind = source_kind(name);
    if (!kind) return kind.error();
    if (*kind == SourceKind::kTokens) ++of_tokens;
  }
  if (of_tokens == 0) return SourceKind::kText;
  if (of_tokens < static_cast<std::size_t>(source.train_size())) {
    return proto::configuration_error(
        "data.train mixes .bin files with text; tokenise all of it or none");
  }
  if (source.token_bits() != 16 && source.token_bits() != 32) {
    return proto::configuration_error(fmt::format(
        "data.token_bits is {}, and must be 16 or 32 for .bin files", source.token_bits()));
  }
  return SourceKind::kTokens;
}

proto::Result<Tokenizer> load_tokenizer(const wire::DataSource& source,
                                        std::int64_t vocabulary_size) {
  if (source.tokenizer().empty()) {
    return proto::configuration_error(
        "data.tokenizer is missing: text needs the folder of a tokenizer");
  }
  auto tokenizer = Tokenizer::load(source.tokenizer());
  if (tokenizer && tokenizer->vocabulary_size() > vocabulary_size) {
    return does_not_fit(source.tokenizer(),
                        fmt::format("the tokenizer has {} tokens", tokenizer->vocabulary_size()),
                        vocabulary_size);
  }
  return tokenizer;
}

proto::Result<TokenStream> open_token_files(const wire::DataSource& source,
                                            std::int64_t vocabulary_size) {
  TokenStream stream;
  ContentHash hash;
  for (const std::string& name : source.train()) {
    auto file = MappedFile::open(name);
    if (!file) return file.error();
    hash.add_part(file->text());
    if (auto added = stream.append(std::move(*file), name, {.token_bits = source.token_bits()});
        !added) {
      return added.error();
    }
  }
  const TokenId greatest = stream.greatest_id();
  if (greatest >= vocabulary_size) {
    return does_not_fit(source.train_size() == 1 ? source.train(0) : "data.train",
                        fmt::format("the greatest token id is {}", greatest), vocabulary_size);
  }
  hash.add_number(source.token_bits());
  stream.set_content_hash(hash.hex());
  return stream;
}

proto::Result<TokenStream> open_text(const wire::DataSource& source,
                                     const TokenDataset::Options& options) {
  const auto tokenizer = load_tokenizer(source, options.vocabulary_size);
  if (!tokenizer) return tokenizer.error();
  return cached_tokens(source, *tokenizer, options.progress);
}

// Takes a token cache that was not there before back, unless it is kept: a source that is refused
// leaves none, nor does one that somebody no longer waits for.
class NewCache {
 public:
  explicit NewCache(std::filesystem::path folder) : folder_(std::move(folder)) {
    std::error_code ignored;
    is_new_ = !std::filesystem::exists(folder_, ignored);
    folders_.expect(folder_);
  }

  NewCache(const NewCache&) = delete;
  NewCache& operator=(const NewCache&) = delete;
  ~NewCache() {
    if (kept_) return;
    std::error_code error;
    if (is_new_) {
      std::filesystem::directory_iterator entry(folder_, error);
      for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
        const auto& file = entry->path();
        if (file.extension() != ".tokens" && file.extension() != ".lock") continue;
        std::error_code ignored;
        std::filesystem::remove(file, ignored);
      }
    }
    folders_.remove_empty();
  }

  void keep() { kept_ = true; }

 private:
  std::filesystem::path folder_;
  bool is_new_ = false;
  bool kept_ = false;
  NewFolders folders_;
};

}  // namespace

proto::Result<void> TokenDataset::check(const wire::DataSource& source,
                                        std::int64_t vocabulary_size) {
  const auto kind = check_files(source);
  if (!kind) return kind.error();
  if (*kind == SourceKind::kTokens) {
    const auto dataset = open(source, {.vocabulary_size = vocabulary_size, .progress = {}});
    if (!dataset) return dataset.error();
    return {};
  }
  for (const std::string& name : source.train()) {
    if (const auto file = MappedFile::open(name); !file) return file.error();
  }
  const auto tokenizer = load_tokenizer(source, vocabulary_size);
  if (!tokenizer) return tokenizer.error();
  return {};
}

proto::Result<TokenDataset> TokenDataset::open(const wire::DataSource& source, Options options) {
  LONGHAUL_ASSERT(options.vocabulary_size > 0);
  NewCache cache(source.cache());
  auto opened = open_checked(source, options);
  if (opened) cache.keep();
  return opened;
}

proto::Result<TokenDataset> TokenDataset::open_checked(const wire::DataSource& source,
                                                       const Options& options) {
  const auto kind = check_files(source);
  if (!kind) return kind.error();
  auto stream = *kind == SourceKind::kTokens ? open_token_files(source, options.vocabulary_size)
                                             : open_text(source, options);
  if (!stream) return stream.error();
  auto holdout = Holdout::make({.tokens = stream->tokens(),
                                .sequence_length = source.sequence_length(),
                                .fraction = source.holdout()});
  if (!holdout) return holdout.error();
  return TokenDataset(std::make_shared<const TokenStream>(std::move(*stream)), std::move(*holdout),
                      options.vocabulary_size);
}

TokenDataset::TokenDataset(std::shared_ptr<const TokenStream> stream, Holdout holdout,
                           std::int64_t vocabulary_size)
    : stream_(std::move(stream)), holdout_(std::move(holdout)), vocabulary_size_(vocabulary_size) {
  ContentHash hash;
  hash.add_part(stream_->content_hash());
  hash.add_number(holdout_.shape().sequence_length);
  hash.add_number(std::bit_cast<std::uint64_t>(holdout_.shape().fraction));
  fingerprint_ = hash.hex();
}

std::uint64_t TokenDataset::train_sequences() const { return holdout_.train_sequences(); }
std::uint64_t TokenDataset::holdout_sequences() const { return holdout_.holdout_sequences(); }
std::uint32_t TokenDataset::sequence_length() const { return holdout_.shape().sequence_length; }
std::uint64_t TokenDataset::tokens() const { return stream_->tokens(); }
std::int64_t TokenDataset::vocabulary_size() const { return vocabulary_size_; }
const std::string& TokenDataset::fingerprint() const { return fingerprint_; }

std::uint64_t TokenDataset::sequences(Split split) const {
  return split == Split::kTrain ? train_sequences() : holdout_sequences();
}

std::uint64_t TokenDataset::index_in_text(Split split, std::uint64_t place) const {
  return split == Split::kTrain ? place : holdout_.holdout_index(place);
}

void TokenDataset::read(Split split, std::uint64_t index, std::span<std::int64_t> inputs,
                        std::span<std::int64_t> targets) const {
  LONGHAUL_ASSERT(inputs.size() == sequence_length() && targets.size() == sequence_length());
  const std::uint64_t begin =
      split == Split::kTrain ? holdout_.train_token(index) : holdout_.holdout_token(index);
  stream_->copy(begin, inputs);
  stream_->copy(begin + 1, targets);
}

}  // namespace longhaul::compnode
