// Tokeniser files that are wrong, and what the error says.
#include "compnode/data/byte_alphabet.hpp"
#include "compnode/data/tokenizer.hpp"
#include "compnode/data/tokenizer_files.hpp"
#include "compnode/data/vocabulary.hpp"

#include "tests/unit/data/folder.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace longhaul::compnode {
namespace {

using testing::kFixture;

// The first occurrence replaced; it must exist.
std::string with(std::string text, std::string_view from, std::string_view to) {
  const std::size_t place = text.find(from);
  REQUIRE(place != std::string::npos);
  return text.replace(place, from.size(), to);
}

std::string json_error(const std::string& json) {
  auto files = parse_tokenizer_json(json);
  if (!files) return files.error().message;
  const auto vocabulary = Vocabulary::make(std::move(*files));
  return vocabulary ? "none" : vocabulary.error().message;
}

std::string pair_error(const std::string& vocabulary_json, const std::string& merges) {
  auto files = parse_vocabulary_and_merges(vocabulary_json, merges);
  if (!files) return files.error().message;
  const auto vocabulary = Vocabulary::make(std::move(*files));
  return vocabulary ? "none" : vocabulary.error().message;
}

bool has(const std::string& message, std::string_view part) {
  CAPTURE(message);
  const bool found = message.find(part) != std::string::npos;
  CHECK(found);
  return found;
}

TEST_CASE("tokenizer.json: every setting that changes ids is refused by name") {
  const std::string json = testing::read_file(kFixture / "json/tokenizer.json");
  CHECK(json_error(json) == "none");
  has(json_error(with(json, R"("normalizer": null)", R"("normalizer": {"type": "NFC"})")),
      "normalizer");
  has(json_error(with(json, R"("pre_tokenizer": {"type": "ByteLevel")",
                      R"("pre_tokenizer": {"type": "Whitespace")")),
      "pre_tokenizer is not ByteLevel");
  has(json_error(with(json, R"("pre_tokenizer": {)", R"("pre": {)")),
      "pre_tokenizer is not ByteLevel");
  has(json_error(with(json, R"("add_prefix_space": false)", R"("add_prefix_space": true)")),
      "prefix space");
  has(json_error(with(json, R"("use_regex": true)", R"("use_regex": false)")),
      "regular expression");
  has(json_error(with(json, R"("post_processor": {"type": "ByteLevel")",
                      R"("post_processor": {"type": "TemplateProcessing")")),
      "post_processor");
  has(json_error(
          with(json, R"("decoder": {"type": "ByteLevel")", R"("decoder": {"type": "WordPiece")")),
      "decoder");
  has(json_error(with(json, R"("type": "BPE")", R"("type": "Unigram")")), "not BPE");
  has(json_error(with(json, R"("dropout": null)", R"("dropout": 0.1)")), "dropout");
  has(json_error(with(json, R"("end_of_word_suffix": "")", R"("end_of_word_suffix": "</w>")")),
      "end_of_word_suffix");
  has(json_error(with(json, R"("fuse_unk": false)", R"("byte_fallback": true)")), "byte_fallback");
  has(json_error(with(json, R"("special": true)", R"("special": false)")), "is not special");
}

TEST_CASE("tokenizer.json: wrong types and values are errors") {
  const std::string json = testing::read_file(kFixture / "json/tokenizer.json");
  CHECK(json_error("") == "it is not a JSON object");
  CHECK(json_error("[]") == "it is not a JSON object");
  CHECK(json_error("{}") != "none");
  has(json_error(with(json, R"("vocab": {)", R"("vocab": [], "v": {)")),
      "not a JSON object of token: id");
  has(json_error(with(json, R"("!": )", R"("!": -)")), "the id of token \"!\"");
  has(json_error(with(json, R"("!": )", R"("!": 99999)")), "must be an integer in [0, 4194304)");
  has(json_error(with(json, R"(["t", "h"])", R"(["t", "h", "e"])")), "model.merges[0]");
  has(json_error(with(json, R"(["t", "h"])", R"("t h")")), "none");
  has(json_error(with(json, R"(["t", "h"])", R"("th")")), "model.merges[0]");
  has(json_error(with(json, R"({"id": 274)", R"({"id": 3)")), "two tokens have the id 3");
  has(json_error(with(json, R"("content": "<|endoftext|>")", R"("content": "!")")),
      "added token \"!\" has id 274");
  has(json_error(with(json, R"("content": "<|endoftext|>")", R"("content": "<end>")")),
      "no end-of-text token");
}

TEST_CASE("vocabulary and merges: what does not fit together is an error that names it") {
  const std::string vocabulary = testing::read_file(kFixture / "vocab.json");
  const std::string merges = testing::read_file(kFixture / "merges.txt");
  CHECK(pair_error(vocabulary, merges) == "none");
  CHECK(pair_error(vocabulary, "") == "none");
  has(pair_error("{", merges), "not JSON");
  has(pair_error(with(vocabulary, R"("!": 33)", R"("!": 34)"), merges),
      "two tokens have the id 34");
  has(pair_error(with(vocabulary, R"("!": 33)", R"("!!": 33)"), merges), "no token for byte 0x21");
  has(pair_error(with(vocabulary, R"("the": )", R"("thx": )"), merges),
      "merge 2: the result \"the\" is not in the vocabulary");
  has(pair_error(vocabulary, "t h\nq zz\n"), "merge 2: \"zz\" is not in the vocabulary");
  has(pair_error(vocabulary, "t h\nt h\n"), "merge 2: \"t h\" appears twice");
  has(pair_error(vocabulary, "#version: 0.2\nt h\n\nt  h\n"), "line 4 of the merges");
  has(pair_error(vocabulary, "th\n"), "line 1 of the merges: \"th\"");
  CHECK(pair_error(vocabulary, "#version: 0.2\r\nt h\r\n") == "none");
}

TEST_CASE("tokenizer: what cannot be found or is too large names the path") {
  testing::Folder folder;
  const auto message = [](const std::filesystem::path& path) {
    return Tokenizer::load(path).error().message;
  };
  has(message(folder.path() / "none"), (folder.path() / "none").string() + ": no such tokenizer");
  has(message(folder.path()), folder.path().string() + ": has no tokenizer");
  const std::string vocabulary =
      folder.write("vocab.json", testing::read_file(kFixture / "vocab.json"));
  has(message(folder.path()),
      (folder.path() / "merges.txt").string() + ": cannot be read: No such file");
  folder.write("merges.txt", "t h\nx");
  has(message(folder.path()), folder.path().string() + ": line 2 of the merges");
  std::filesystem::resize_file(vocabulary, (64u << 20) + 1);
  has(message(folder.path()), vocabulary + ": 67108865 bytes are too many");
  CHECK(Tokenizer::load(folder.path()).error().kind == proto::ErrorKind::kConfiguration);
}

TEST_CASE("byte alphabet: characters stand for bytes, others for none") {
  CHECK(bytes_of_symbols("a\u0120b").value() == "a b");
  CHECK(bytes_of_symbols("\u010a").value() == "\n");
  CHECK(bytes_of_symbols("\u00ad") == std::nullopt);    // a soft hyphen is not printable
  CHECK(bytes_of_symbols("\u0143").value() == "\xad");  // the last of the 68
  CHECK(bytes_of_symbols("a b") == std::nullopt);
  CHECK(bytes_of_symbols("\u4e00") == std::nullopt);
  CHECK(bytes_of_symbols("\xc4") == std::nullopt);
}

}  // namespace
}  // namespace longhaul::compnode
