// Finds a tokeniser's files and reads vocab.json with merges.txt; tokenizer_json.cpp reads the
// other.
#include "compnode/data/tokenizer_files.hpp"

#include "compnode/data/content_hash.hpp"
#include "compnode/files/mapped_file.hpp"
#include "compnode/data/token_names.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>

namespace longhaul::compnode {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostBytes = 64u << 20;

struct FilePair {
  const char* vocabulary;
  const char* merges;
};
constexpr std::array kPairs{FilePair{"vocab.json", "merges.txt"},
                            FilePair{"encoder.json", "vocab.bpe"}};

proto::Result<MappedFile> open_bounded(const fs::path& path) {
  auto file = MappedFile::open(path);
  if (file && file->bytes().size() > kMostBytes) {
    return proto::configuration_error(
        fmt::format("{}: {} bytes are too many for a tokenizer file, at most {}", path.string(),
                    file->bytes().size(), kMostBytes));
  }
  return file;
}

proto::Result<TokenizerFiles> read_pair(const fs::path& folder, FilePair names) {
  auto vocabulary = open_bounded(folder / names.vocabulary);
  if (!vocabulary) return vocabulary.error();
  auto merges = open_bounded(folder / names.merges);
  if (!merges) return merges.error();
  auto files = parse_vocabulary_and_merges(vocabulary->text(), merges->text());
  if (!files) return proto::with_context(folder.string(), files.error());
  ContentHash hash;
  hash.add_part(vocabulary->text());
  hash.add_part(merges->text());
  files->content_hash = hash.hex();
  return files;
}

proto::Result<TokenizerFiles> read_json(const fs::path& path) {
  auto file = open_bounded(path);
  if (!file) return file.error();
  auto files = parse_tokenizer_json(file->text());
  if (!files) return proto::with_context(path.string(), files.error());
  ContentHash hash;
  hash.add_part(file->text());
  files->content_hash = hash.hex();
  return files;
}

}  // namespace

proto::Result<TokenizerFiles> read_tokenizer_files(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_regular_file(path, ignored)) return read_json(path);
  if (!fs::is_directory(path, ignored)) {
    return proto::configuration_error(
        fmt::format("{}: no such tokenizer; give the folder with vocab.json and merges.txt, or a "
                    "tokenizer.json",
                    path.string()));
  }
  for (const FilePair names : kPairs) {
    if (fs::exists(path / names.vocabulary, ignored)) return read_pair(path, names);
  }
  if (fs::exists(path / "tokenizer.json", ignored)) return read_json(path / "tokenizer.json");
  return proto::configuration_error(
      fmt::format("{}: has no tokenizer; vocab.json and merges.txt, encoder.json and vocab.bpe, or "
                  "tokenizer.json are looked for",
                  path.string()));
}

proto::Result<TokenizerFiles> parse_vocabulary_and_merges(std::string_view vocabulary,
                                                          std::string_view merges) {
  TokenizerFiles files;
  const auto json = nlohmann::json::parse(vocabulary, nullptr, false);
  if (json.is_discarded()) return proto::configuration_error("the vocabulary is not JSON");
  auto tokens = token_ids_from_json(json);
  if (!tokens) return tokens.error();
  files.tokens = std::move(*tokens);

  std::size_t number = 0;
  while (!merges.empty()) {
    const std::size_t end = std::min(merges.find('\n'), merges.size());
    std::string_view line = merges.substr(0, end);
    merges.remove_prefix(std::min(end + 1, merges.size()));
    ++number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || (number == 1 && line.starts_with("#version"))) continue;
    auto merge = merge_from_line(line);
    if (!merge)
      return proto::with_context(fmt::format("line {} of the merges", number), merge.error());
    files.merges.push_back(std::move(*merge));
  }
  return files;
}

}  // namespace longhaul::compnode
