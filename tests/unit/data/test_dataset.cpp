// Data sets of text, records and token files: sequences, errors, baselines and exports.
#include "compnode/data/dataset.hpp"
#include "compnode/data/split_bin.hpp"
#include "compnode/data/tokenizer.hpp"
#include "compnode/data/unigram.hpp"

#include "tests/unit/data/folder.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <string>
#include <vector>

namespace longhaul::compnode {
namespace {

namespace fs = std::filesystem;
using testing::Folder;
using testing::source;
using Ids = std::vector<std::int64_t>;

const TokenDataset::Options kOptions{.vocabulary_size = 275};

struct Sequence {
  Ids inputs;
  Ids targets;
};

Sequence read(const TokenDataset& dataset, Split split, std::uint64_t index) {
  Sequence result{Ids(dataset.sequence_length()), Ids(dataset.sequence_length())};
  dataset.read(split, index, result.inputs, result.targets);
  return result;
}

Ids all_inputs(const TokenDataset& dataset) {
  Ids ids;
  for (std::uint64_t i = 0; i < dataset.train_sequences(); ++i) {
    const Ids inputs = read(dataset, Split::kTrain, i).inputs;
    ids.insert(ids.end(), inputs.begin(), inputs.end());
  }
  return ids;
}

std::string error_of(const wire::DataSource& data, std::int64_t vocabulary_size = 275) {
  const auto dataset = TokenDataset::open(data, {.vocabulary_size = vocabulary_size});
  REQUIRE(!dataset);
  CHECK(dataset.error().kind == proto::ErrorKind::kConfiguration);
  return dataset.error().message;
}

std::vector<std::uint16_t> counting(std::size_t count) {
  std::vector<std::uint16_t> ids(count);
  std::iota(ids.begin(), ids.end(), std::uint16_t{0});
  return ids;
}

TEST_CASE("dataset: documents follow each other with the end of text between") {
  Folder folder;
  const auto data = source(folder, {folder.write("a.txt", "the"), folder.write("b.txt", ""),
                                    folder.write("c.txt", "aaaaaaaa in")});
  const auto dataset = TokenDataset::open(data, kOptions).value();
  // 257 the, 274 end, 261 aaaaaaaa, then " ", "in" (263), end
  CHECK(dataset.tokens() == 6);
  CHECK(dataset.train_sequences() == 1);
  CHECK(read(dataset, Split::kTrain, 0).inputs == Ids{257, 274, 261, 0x20});
  CHECK(read(dataset, Split::kTrain, 0).targets == Ids{274, 261, 0x20, 263});
}

TEST_CASE("dataset: targets are the inputs one token later") {
  Folder folder;
  auto data = source(folder, {folder.write("a.bin", testing::as_bytes(counting(203)))});
  data.set_sequence_length(10);
  data.set_holdout(0.1);
  const auto dataset = TokenDataset::open(data, kOptions).value();
  CHECK(dataset.holdout_sequences() == 2);
  CHECK(dataset.train_sequences() == 18);
  for (const Split split : {Split::kTrain, Split::kHoldout}) {
    for (std::uint64_t i = 0; i < dataset.sequences(split); ++i) {
      const Sequence sequence = read(dataset, split, i);
      for (std::size_t t = 0; t < 10; ++t) {
        CHECK(sequence.targets[t] == sequence.inputs[t] + 1);
        CHECK(sequence.inputs[t] == sequence.inputs[0] + static_cast<std::int64_t>(t));
      }
    }
  }
}

TEST_CASE("dataset: records give the same tokens as text files of their documents") {
  Folder folder;
  const auto text = TokenDataset::open(source(folder, {folder.write("a.txt", "the whale \u3042\n"),
                                                       folder.write("b.txt", "in the water")}),
                                       kOptions);
  const auto records = TokenDataset::open(
      source(folder, {folder.write("a.jsonl",
                                   "{\"text\": \"the whale \\u3042\\n\", \"n\": 1}\n\n"
                                   "{\"n\": [2], \"text\": \"in the water\"}\r\n")}),
      kOptions);
  CHECK(all_inputs(text.value()) == all_inputs(records.value()));
  CHECK(!all_inputs(text.value()).empty());
}

TEST_CASE("dataset: a wrong record is an error at its file and line") {
  Folder folder;
  const auto error = [&](const std::string& second) {
    const std::string file = folder.write("a.jsonl", "{\"text\": \"x\"}\n" + second + "\n");
    std::string message = error_of(source(folder, {file}));
    REQUIRE(message.starts_with(file));
    return message.substr(file.size());
  };
  CHECK(error("{\"text\": }") == ":2:10: the record is not JSON");
  CHECK(error("{\"text\": \"\xff\"}").starts_with(":2:"));
  CHECK(error("[1]") == ":2: the record is not a JSON object");
  CHECK(error("{\"other\": \"y\"}") == ":2: the record has no field \"text\"");
  CHECK(error("{\"text\": 7}") == ":2: the field \"text\" is not a string");
}

TEST_CASE("dataset: token files of 16 and 32 bits follow each other as they are") {
  Folder folder;
  const auto ids = counting(40);
  const std::vector<std::uint32_t> wide(ids.begin(), ids.end());
  auto narrow_data =
      source(folder, {folder.write("a.bin", testing::as_bytes(ids)), folder.write("none.bin", ""),
                      folder.write("b.bin", testing::as_bytes(ids))});
  auto wide_data = source(folder, {folder.write("c.bin", testing::as_bytes(wide)),
                                   folder.write("d.bin", testing::as_bytes(wide))});
  wide_data.set_token_bits(32);
  wide_data.set_sequence_length(7);  // sequences cross from one file to the other
  narrow_data.set_sequence_length(7);
  const auto narrow_set = TokenDataset::open(narrow_data, kOptions).value();
  const auto wide_set = TokenDataset::open(wide_data, kOptions).value();
  CHECK(narrow_set.tokens() == 80);
  CHECK(all_inputs(narrow_set) == all_inputs(wide_set));
  CHECK(read(narrow_set, Split::kTrain, 5).inputs == Ids{35, 36, 37, 38, 39, 0, 1});
  CHECK(!std::filesystem::exists(folder.path() / "cache"));
}

TEST_CASE("dataset: a vocabulary that does not fit the config names both numbers") {
  Folder folder;
  const auto text = source(folder, {folder.write("a.txt", "the whale in the water")});
  const std::string message = error_of(text, 200);
  CHECK(message.find("a vocabulary that does not fit the config") != std::string::npos);
  CHECK(message.find("the tokenizer has 275 tokens, and the model's vocab_size is 200") !=
        std::string::npos);
  CHECK(TokenDataset::check(text, 200).error().message == message);
  CHECK(TokenDataset::check(text, 275).has_value());

  const auto tokens = source(folder, {folder.write("a.bin", testing::as_bytes(counting(100)))});
  CHECK(
      error_of(tokens, 99).find("the greatest token id is 99, and the model's vocab_size is 99") !=
      std::string::npos);
  CHECK(TokenDataset::check(tokens, 99).error().message == error_of(tokens, 99));
  CHECK(TokenDataset::check(tokens, 100).has_value());
  CHECK(TokenDataset::open(tokens, {.vocabulary_size = 100}).has_value());
}

TEST_CASE("dataset: what cannot be data is refused with the way out") {
  Folder folder;
  const std::string text = folder.write("a.txt", "the");
  const std::string tokens = folder.write("a.bin", "123");
  CHECK(error_of(source(folder, {})) == "data.train names no file");
  CHECK(error_of(source(folder, {"/nowhere/x.txt"})) ==
        "/nowhere/x.txt: cannot be read: No such file or directory");
  CHECK(
      error_of(source(folder, {folder.write("a.csv", "")})).find("must be .txt, .jsonl or .bin") !=
      std::string::npos);
  CHECK(error_of(source(folder, {text, tokens})).find("mixes .bin files with text") !=
        std::string::npos);
  CHECK(
      error_of(source(folder, {tokens})).find("3 bytes are no whole number of 16-bit token ids") !=
      std::string::npos);
  CHECK(error_of(source(folder, {text})).find("too little data: 2 tokens make 0 sequences of 4") !=
        std::string::npos);
  auto data = source(folder, {text});
  data.clear_tokenizer();
  CHECK(error_of(data).find("data.tokenizer is missing") != std::string::npos);
  data = source(folder, {tokens});
  data.set_token_bits(8);
  CHECK(error_of(data).find("token_bits is 8") != std::string::npos);
}

TEST_CASE("dataset: a source that is refused leaves no cache, or one that was there as it was") {
  Folder folder;
  const fs::path cache = folder.path() / "a/cache";
  const auto refused = [&](const std::string& file) {
    auto data = source(folder, {file});
    data.set_cache(cache.string());
    CHECK_FALSE(error_of(data).empty());
  };
  const std::string short_text = folder.write("a.txt", "the");
  const std::string bad_record = folder.write("a.jsonl", "{\"text\": 7}\n");
  refused(short_text);
  CHECK_FALSE(fs::exists(folder.path() / "a"));
  refused(bad_record);
  CHECK_FALSE(fs::exists(folder.path() / "a"));
  fs::create_directories(cache);
  std::ofstream(cache / "other.tokens") << "of another job";
  refused(bad_record);
  const auto entries = std::distance(fs::directory_iterator(cache), fs::directory_iterator());
  CHECK(entries == 1);
}

TEST_CASE("dataset: fingerprints agree exactly when the sequences do") {
  Folder folder;
  const std::string file = folder.write("a.txt", "the whale in the water of the whale");
  const auto fingerprint = [&](const wire::DataSource& data) {
    return TokenDataset::open(data, kOptions).value().fingerprint();
  };
  auto data = source(folder, {file});
  const std::string original = fingerprint(data);
  Folder elsewhere;
  CHECK(fingerprint(source(
            elsewhere, {elsewhere.write("other-name.txt", testing::read_file(file))})) == original);
  data.set_sequence_length(3);
  CHECK(fingerprint(data) != original);
  data = source(folder, {file});
  data.set_holdout(0.3);
  CHECK(fingerprint(data) != original);
  CHECK(fingerprint(source(folder, {file, file})) != original);
}

TEST_CASE("unigram: cross entropy of held-out targets under training frequencies") {
  Folder folder;
  // 5 sequences of 2; sequence 2 (tokens 4..6, targets 5 and 6) is held out, then one token is
  // lost.
  const std::vector<std::uint16_t> ids{9, 1, 1, 1, 2, 1, 7, 2, 1, 2, 1, 1};
  auto data = source(folder, {folder.write("a.bin", testing::as_bytes(ids))});
  data.set_sequence_length(2);
  data.set_holdout(0.2);
  const auto dataset = TokenDataset::open(data, {.vocabulary_size = 12}).value();
  REQUIRE(dataset.holdout_sequences() == 1);
  REQUIRE(read(dataset, Split::kHoldout, 0).targets == Ids{1, 7});
  // Training targets: 1 1 | 1 2 | 1 2 | 1 1 = six times 1, twice 2: n = 8, u = 2, ten never seen.
  const double expected = -(std::log(6.0 / 10) + std::log(2.0 / 10 / 10)) / 2;
  CHECK(unigram_cross_entropy(dataset) == doctest::Approx(expected).epsilon(1e-12));
}

TEST_CASE("split files: a stream in the order of the text, or exact rows") {
  Folder folder;
  auto data = source(folder, {folder.write("a.bin", testing::as_bytes(counting(250)))});
  data.set_sequence_length(5);
  data.set_holdout(0.2);
  const auto dataset = TokenDataset::open(data, kOptions).value();
  const auto path = folder.path() / "split";
  for (const Split split : {Split::kTrain, Split::kHoldout}) {
    const auto rows = write_split_bin(dataset, split, path, BinLayout::kRows).value();
    CHECK(rows.token_bits == 16);
    CHECK(rows.tokens == dataset.sequences(split) * 6);
    const auto ids = testing::read_integers<std::uint16_t>(path);
    REQUIRE(ids.size() == rows.tokens);
    for (std::uint64_t i = 0; i < dataset.sequences(split); ++i) {
      const Sequence sequence = read(dataset, split, i);
      CHECK(std::equal(sequence.inputs.begin(), sequence.inputs.end(),
                       ids.begin() + static_cast<std::ptrdiff_t>(6 * i)));
      CHECK(ids[6 * i + 5] == sequence.targets.back());
    }
    const auto stream = write_split_bin(dataset, split, path).value();
    const auto flat = testing::read_integers<std::uint16_t>(path);
    CHECK(flat.size() == stream.tokens);
    CHECK(flat.size() == dataset.sequences(split) * 5 + 1);
    CHECK(std::is_sorted(flat.begin(), flat.end()));
  }
  const std::filesystem::directory_iterator files(folder.path());
  CHECK(std::distance(begin(files), end(files)) == 2);  // a.bin and the split: nothing half-written
  data.set_holdout(0);
  CHECK(!write_split_bin(TokenDataset::open(data, kOptions).value(), Split::kHoldout, path));
  const auto unwritable = write_split_bin(dataset, Split::kTrain, folder.path() / "no/such/folder");
  REQUIRE(!unwritable);
  CHECK(unwritable.error().kind == proto::ErrorKind::kResource);
}

}  // namespace
}  // namespace longhaul::compnode
