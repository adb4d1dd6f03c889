// Byte-pair merging against the definition, for short words, long ones and hostile merges.
#include "compnode/data/byte_pair_merger.hpp"

#include "tests/unit/data/folder.hpp"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace longhaul::compnode {
namespace {

Vocabulary fixture() {
  return Vocabulary::make(read_tokenizer_files(testing::kFixture).value()).value();
}

// "Of the adjacent pairs merge the one of lowest rank, of equal ones the leftmost", literally.
std::vector<TokenId> merge_by_definition(const Vocabulary& vocabulary, std::string_view word) {
  std::vector<TokenId> ids;
  for (const char byte : word)
    ids.push_back(vocabulary.byte_token(static_cast<unsigned char>(byte)));
  while (true) {
    std::size_t best = 0;
    Vocabulary::Merge lowest;
    for (std::size_t i = 0; i + 1 < ids.size(); ++i) {
      const auto merge = vocabulary.merge(ids[i], ids[i + 1]);
      if (merge.rank < lowest.rank) {
        lowest = merge;
        best = i;
      }
    }
    if (lowest.rank == Vocabulary::kNoMerge) return ids;
    ids[best] = lowest.result;
    ids.erase(ids.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
}

// Merges in random order, so that a result may have a lower rank than what it is made of.
Vocabulary shuffled(std::uint64_t seed) {
  auto files = read_tokenizer_files(testing::kFixture).value();
  std::mt19937_64 random(seed);
  std::shuffle(files.merges.begin(), files.merges.end(), random);
  return Vocabulary::make(std::move(files)).value();
}

TEST_CASE("merging: words of every length agree with the definition") {
  const std::uint64_t seed = 4711;
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 20; ++round) {
    const Vocabulary vocabulary =
        round == 0 ? fixture() : shuffled(seed + static_cast<std::uint64_t>(round));
    BytePairMerger merger(vocabulary);
    for (int i = 0; i < 100; ++i) {
      std::string word;
      const std::size_t bytes = 1 + random() % 150;  // the heap takes over at 49
      while (word.size() < bytes) word += "the whalain\n a"[random() % 14];
      CAPTURE(word);
      const auto ids = merger.merge(word);
      CHECK(std::vector<TokenId>(ids.begin(), ids.end()) == merge_by_definition(vocabulary, word));
    }
  }
}

TEST_CASE("merging: a word of a megabyte takes no quadratic time") {
  const Vocabulary vocabulary = fixture();
  BytePairMerger merger(vocabulary);
  const std::string word(1'000'000, 'a');
  const auto begin = std::chrono::steady_clock::now();
  const auto ids = merger.merge(word);
  CHECK(ids.size() == word.size() / 8);
  // A quadratic merge would take hours; this is seconds even under sanitizers.
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::minutes(2));
}

}  // namespace
}  // namespace longhaul::compnode
