// The sampler's order of training sequences.
#include "compnode/data/sampler.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

namespace longhaul::compnode {
namespace {

std::vector<std::uint64_t> epoch_of(const Sampler& sampler, std::uint64_t sequences,
                                    std::uint64_t epoch) {
  std::vector<std::uint64_t> order;
  for (std::uint64_t i = 0; i < sequences; ++i)
    order.push_back(sampler.sequence_at(epoch * sequences + i));
  return order;
}

TEST_CASE("sampler: every sequence once per epoch") {
  for (const std::uint64_t sequences : {1u, 2u, 3u, 4u, 5u, 7u, 16u, 17u, 100u, 1000u, 4097u}) {
    for (const std::uint64_t seed : {0u, 1u, 77u}) {
      const Sampler sampler(sequences, seed);
      for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
        auto order = epoch_of(sampler, sequences, epoch);
        std::ranges::sort(order);
        std::vector<std::uint64_t> all(sequences);
        std::iota(all.begin(), all.end(), 0);
        CAPTURE(sequences);
        CAPTURE(seed);
        CHECK(order == all);
      }
    }
  }
}

TEST_CASE("sampler: epochs and seeds have orders of their own") {
  const Sampler one(1000, 1);
  CHECK(epoch_of(one, 1000, 0) != epoch_of(one, 1000, 1));
  CHECK(epoch_of(one, 1000, 0) != epoch_of(Sampler(1000, 2), 1000, 0));
  CHECK(epoch_of(one, 1000, 5) == epoch_of(Sampler(1000, 1), 1000, 5));
}

TEST_CASE("sampler: the order is part of the format and never changes") {
  // From an implementation of the documented formula in another language.
  const Sampler sampler(10, 1);
  CHECK(epoch_of(sampler, 10, 0) == std::vector<std::uint64_t>{7, 3, 8, 1, 0, 6, 9, 4, 2, 5});
  CHECK(Sampler(std::uint64_t{1} << 40, 7).sequence_at(123456789) == 443037121108);
}

TEST_CASE("sampler: places are equally likely for a sequence") {
  // 64 sequences over 6400 epochs: each place is expected 100 times; chi-squared with 63 degrees of
  // freedom lies below 120 with probability 1 - 2e-5, and the seed is fixed.
  constexpr std::uint64_t kSequences = 64;
  const Sampler sampler(kSequences, 3);
  std::vector<double> seen(kSequences);
  for (std::uint64_t epoch = 0; epoch < 6400; ++epoch) {
    seen[static_cast<std::size_t>(sampler.sequence_at(epoch * kSequences))] += 1;
  }
  double chi_squared = 0;
  for (const double count : seen) chi_squared += (count - 100) * (count - 100) / 100;
  CHECK(chi_squared < 120);
}

TEST_CASE("sampler: neighbours in the text are no neighbours in the order") {
  constexpr std::uint64_t kSequences = 10000;
  const auto order = epoch_of(Sampler(kSequences, 9), kSequences, 0);
  double sum = 0;
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {
    sum += std::abs(static_cast<double>(order[i]) - static_cast<double>(order[i + 1]));
  }
  // Two random places are a third of the range apart on average.
  CHECK(sum / static_cast<double>(kSequences - 1) ==
        doctest::Approx(kSequences / 3.0).epsilon(0.03));
}

}  // namespace
}  // namespace longhaul::compnode
