// Which sequences are held out, and that training never sees their targets.
#include "compnode/data/holdout.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace longhaul::compnode {
namespace {

TEST_CASE("holdout: no target of a held-out sequence is a token of a training sequence") {
  const std::uint64_t seed = 20240601;
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  int made = 0;
  while (made < 300) {
    const Holdout::Shape shape{.tokens = random() % 4000,
                               .sequence_length = static_cast<std::uint32_t>(1 + random() % 30),
                               .fraction = static_cast<double>(random() % 70) / 100.0};
    const auto holdout = Holdout::make(shape);
    if (!holdout) continue;
    ++made;
    CAPTURE(shape.tokens);
    CAPTURE(shape.sequence_length);
    CAPTURE(shape.fraction);
    std::vector<int> training(shape.tokens);
    std::uint64_t last = 0;
    for (std::uint64_t i = 0; i < holdout->train_sequences(); ++i) {
      const std::uint64_t begin = holdout->train_token(i);
      REQUIRE(begin + shape.sequence_length < shape.tokens);
      REQUIRE((i == 0 || begin >= last + shape.sequence_length));  // in the order of the text
      last = begin;
      for (std::uint64_t t = 0; t <= shape.sequence_length; ++t) training[begin + t] = 1;
    }
    std::vector<int> targets(shape.tokens);
    for (std::uint64_t i = 0; i < holdout->holdout_sequences(); ++i) {
      const std::uint64_t begin = holdout->holdout_token(i);
      REQUIRE(begin + shape.sequence_length < shape.tokens);
      for (std::uint64_t t = 1; t <= shape.sequence_length; ++t) {
        REQUIRE(training[begin + t] == 0);
        REQUIRE(++targets[begin + t] == 1);  // and is held out once
      }
    }
    // All but a last sequence and a token per block are used.
    const std::uint64_t used =
        (holdout->train_sequences() + holdout->holdout_sequences()) * shape.sequence_length;
    CHECK(shape.tokens - used <= shape.sequence_length + 33);
  }
}

TEST_CASE("holdout: the fraction asked for, in blocks from every part of the text") {
  const auto holdout =
      Holdout::make({.tokens = 1'000'001, .sequence_length = 100, .fraction = 0.02}).value();
  CHECK(holdout.holdout_sequences() == 200);
  CHECK(holdout.train_sequences() == 9799);  // 32 tokens lost to 32 blocks cost one sequence
  std::set<std::uint64_t> parts;
  for (std::uint64_t i = 0; i < 32; ++i) parts.insert(holdout.holdout_token(i) * 32 / 1'000'001);
  CHECK(parts.size() == 32);  // the first 32 already come one from each 32nd of the text
}

TEST_CASE("holdout: places in the text are a permutation, ascending") {
  for (const double fraction : {0.0011, 0.01, 0.033, 0.5}) {
    const auto holdout =
        Holdout::make({.tokens = 10'001, .sequence_length = 5, .fraction = fraction}).value();
    std::set<std::uint64_t> seen;
    std::uint64_t last = 0;
    for (std::uint64_t place = 0; place < holdout.holdout_sequences(); ++place) {
      const std::uint64_t index = holdout.holdout_index(place);
      CHECK(seen.insert(index).second);
      const std::uint64_t token = holdout.holdout_token(index);
      CHECK((place == 0 || token > last));
      last = token;
    }
    CHECK(*seen.rbegin() == holdout.holdout_sequences() - 1);
  }
}

TEST_CASE("holdout: a small fraction of a small text still holds one sequence out") {
  const auto holdout =
      Holdout::make({.tokens = 100, .sequence_length = 10, .fraction = 0.001}).value();
  CHECK(holdout.holdout_sequences() == 1);
  CHECK(holdout.train_sequences() == 8);
}

TEST_CASE("holdout: none asked for, none made") {
  const auto holdout = Holdout::make({.tokens = 11, .sequence_length = 5, .fraction = 0}).value();
  CHECK(holdout.holdout_sequences() == 0);
  CHECK(holdout.train_sequences() == 2);
  CHECK(holdout.train_token(1) == 5);
}

TEST_CASE("holdout: too little data is an error with the numbers") {
  const auto none = Holdout::make({.tokens = 256, .sequence_length = 256, .fraction = 0});
  REQUIRE(!none);
  CHECK(none.error().kind == proto::ErrorKind::kConfiguration);
  CHECK(none.error().message.find("256 tokens make 0 sequences") != std::string::npos);
  const auto one = Holdout::make({.tokens = 260, .sequence_length = 256, .fraction = 0.1});
  REQUIRE(!one);
  CHECK(one.error().message.find("260 tokens make 1 sequence of 256") != std::string::npos);
  for (const double fraction : {-0.1, 1.0, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK(!Holdout::make({.tokens = 1000, .sequence_length = 2, .fraction = fraction}));
  }
}

}  // namespace
}  // namespace longhaul::compnode
