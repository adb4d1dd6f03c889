// Encoding and decoding with the fixture's vocabulary.
#include "compnode/data/tokenizer.hpp"

#include "tests/unit/data/folder.hpp"

#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

namespace longhaul::compnode {
namespace {

using testing::kFixture;
using Ids = std::vector<TokenId>;
using namespace std::string_literals;

std::string round_trip(const Tokenizer& tokenizer, std::string_view text) {
  return tokenizer.decode(tokenizer.encode(text)).value();
}

TEST_CASE("tokenizer: merges by rank, and knows its size and end of text") {
  const auto tokenizer = Tokenizer::load(kFixture).value();
  CHECK(tokenizer.vocabulary_size() == 275);
  CHECK(tokenizer.end_of_text() == 274);
  // 256 + rank: " the" is 258, " whale" 268; "aaaaaaaa" 261.
  CHECK(tokenizer.encode("the the whale") == Ids{257, 258, 268});
  CHECK(tokenizer.encode("aaaaaaaaa") == Ids{261, 'a'});
  CHECK(tokenizer.encode("") == Ids{});
  CHECK(tokenizer.decode(Ids{258, 268}).value() == " the whale");
}

TEST_CASE("tokenizer: folder of two files, tokenizer.json and its folder give the same ids") {
  const auto pair = Tokenizer::load(kFixture).value();
  const std::string text = "the whale\n\nin the aaaa  water \u3042\xff";
  for (const auto& path : {kFixture / "json", kFixture / "json/tokenizer.json"}) {
    const auto json = Tokenizer::load(path).value();
    CHECK(json.encode(text) == pair.encode(text));
    CHECK(json.end_of_text() == pair.end_of_text());
    CHECK(json.content_hash() != pair.content_hash());
  }
  testing::Folder openai;
  openai.write("encoder.json", testing::read_file(kFixture / "vocab.json"));
  openai.write("vocab.bpe", testing::read_file(kFixture / "merges.txt"));
  CHECK(Tokenizer::load(openai.path()).value().content_hash() == pair.content_hash());
}

TEST_CASE("tokenizer: any bytes round-trip") {
  const auto tokenizer = Tokenizer::load(kFixture).value();
  const std::uint64_t seed = 99;
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int i = 0; i < 2000; ++i) {
    std::string text;
    const std::size_t bytes = random() % 100;
    const unsigned kind = static_cast<unsigned>(random() % 3);
    while (text.size() < bytes) {
      text += kind == 0   ? static_cast<char>(random())
              : kind == 1 ? "\xed\xa0\x80 \xf0\x9f"[random() % 6]
                          : "a e\0\xc3\xa9"[random() % 6];
    }
    REQUIRE(round_trip(tokenizer, text) == text);
  }
}

TEST_CASE("tokenizer: bytes that are not UTF-8 end the words beside them") {
  const auto tokenizer = Tokenizer::load(kFixture).value();
  // "th" and "e" would be "the"; the two spaces are at the end of a text, so they merge.
  CHECK(tokenizer
            .encode("th\xff"
                    "e")
            .size() == 3);
  CHECK(tokenizer.encode("  \xff") == Ids{270, tokenizer.encode("\xff")[0]});
  CHECK(tokenizer.encode("\xed\xa0\x80").size() == 3);
}

TEST_CASE("tokenizer: the end-of-text token is not read out of text") {
  const auto tokenizer = Tokenizer::load(kFixture).value();
  const auto ids = tokenizer.encode("<|endoftext|>");
  CHECK(ids.size() > 1);
  CHECK(tokenizer.decode(Ids{274}).value() == "<|endoftext|>");
}

TEST_CASE("tokenizer: words that differ only in trailing zeros are told apart by the cache") {
  const auto tokenizer = Tokenizer::load(kFixture).value();
  TokenEncoder encoder(tokenizer);
  Ids ids;
  for (const std::string& text : {"!"s, "!\0"s, "!\0\0"s, "!"s}) {
    ids.clear();
    encoder.encode(text, ids);
    CHECK(tokenizer.decode(ids).value() == text);
  }
}

TEST_CASE("tokenizer: batches of a long text are its ids, and tell how far it is") {
  const auto tokenizer = Tokenizer::load(kFixture).value();
  std::string text;
  while (text.size() < 300'000) text += "the whale in water 0123456789 ";
  Ids joined;
  std::size_t before = 0;
  std::size_t batches = 0;
  TokenEncoder encoder(tokenizer);
  encoder.encode(text, [&](std::span<const TokenId> batch) {
    CHECK(!batch.empty());
    CHECK(encoder.bytes_encoded() >= before);
    before = encoder.bytes_encoded();
    joined.insert(joined.end(), batch.begin(), batch.end());
    ++batches;
  });
  CHECK(batches > 1);
  CHECK(before == text.size());
  CHECK(joined == tokenizer.encode(text));
  CHECK(tokenizer.decode(joined).value() == text);
}

TEST_CASE("tokenizer: threads share one") {
  const auto tokenizer = Tokenizer::load(kFixture).value();
  const std::string text = "the whale in the water, aaaaaaaa";
  const auto expected = tokenizer.encode(text);
  std::vector<Ids> found(4);
  std::vector<std::thread> threads;
  for (Ids& ids : found) threads.emplace_back([&] { ids = tokenizer.encode(text); });
  for (std::thread& thread : threads) thread.join();
  for (const Ids& ids : found) CHECK(ids == expected);
}

TEST_CASE("tokenizer: an id that no token has is an error") {
  const auto tokenizer = Tokenizer::load(kFixture).value();
  const auto text = tokenizer.decode(Ids{275});
  REQUIRE(!text);
  CHECK(text.error().message == "no token has the id 275; the vocabulary has 275");
}

}  // namespace
}  // namespace longhaul::compnode
