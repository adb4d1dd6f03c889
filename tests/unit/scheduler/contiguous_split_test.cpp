// Claims about the split, against every split there is.
#include "scheduler/contiguous_split.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <random>

namespace longhaul::scheduler {
namespace {

using Firsts = std::vector<std::size_t>;

double largest_part(const std::vector<double>& costs, const Firsts& firsts) {
  double largest = 0;
  for (std::size_t p = 0; p < firsts.size(); ++p) {
    const std::size_t end = p + 1 < firsts.size() ? firsts[p + 1] : costs.size();
    double sum = 0;
    for (std::size_t i = firsts[p]; i < end; ++i) sum += costs[i];
    largest = std::max(largest, sum);
  }
  return largest;
}

double squared_parts(const std::vector<double>& costs, const Firsts& firsts) {
  double squares = 0;
  for (std::size_t p = 0; p < firsts.size(); ++p) {
    const std::size_t end = p + 1 < firsts.size() ? firsts[p + 1] : costs.size();
    double sum = 0;
    for (std::size_t i = firsts[p]; i < end; ++i) sum += costs[i];
    squares += sum * sum;
  }
  return squares;
}

std::int64_t cut_bytes_of(const std::vector<std::int64_t>& bytes, const Firsts& firsts) {
  std::int64_t sum = 0;
  for (std::size_t p = 1; p < firsts.size(); ++p) sum += bytes[firsts[p]];
  return sum;
}

void for_every_split(std::size_t items, std::size_t parts,
                     const std::function<void(const Firsts&)>& body) {
  Firsts firsts{0};
  const std::function<void()> extend = [&] {
    if (firsts.size() == parts) return body(firsts);
    for (std::size_t next = firsts.back() + 1; next < items; ++next) {
      firsts.push_back(next);
      extend();
      firsts.pop_back();
    }
  };
  extend();
}

TEST_CASE("split: agrees with trying every split") {
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const std::size_t items = 1 + random() % 9;
    const std::size_t parts = 1 + random() % items;
    std::vector<double> costs(items);
    std::vector<std::int64_t> bytes(items);
    for (double& cost : costs) cost = static_cast<double>(random() % 20);  // exact sums
    for (std::int64_t& cut : bytes) cut = static_cast<std::int64_t>(random() % 5);
    const double tolerance = random() % 2 == 0 ? 0.03 : 0.5;

    double best = std::numeric_limits<double>::infinity();
    for_every_split(items, parts, [&](const Firsts& firsts) {
      best = std::min(best, largest_part(costs, firsts));
    });
    CHECK(smallest_largest_part(costs, parts) == best);

    std::int64_t fewest = std::numeric_limits<std::int64_t>::max();
    double most_even = std::numeric_limits<double>::infinity();
    for_every_split(items, parts, [&](const Firsts& firsts) {
      if (largest_part(costs, firsts) > best * (1.0 + tolerance)) return;
      const std::int64_t cut = cut_bytes_of(bytes, firsts);
      if (cut < fewest) most_even = std::numeric_limits<double>::infinity();
      fewest = std::min(fewest, cut);
      if (cut == fewest) most_even = std::min(most_even, squared_parts(costs, firsts));
    });
    const Firsts split = contiguous_split(
        {.costs = costs, .cut_bytes = bytes, .parts = parts, .tolerance = tolerance});
    REQUIRE(split.size() == parts);
    CHECK(split.front() == 0);
    CHECK(std::is_sorted(split.begin(), split.end(), std::less_equal<>()));
    CHECK(split.back() < items);
    CHECK(largest_part(costs, split) <= best * (1.0 + tolerance));
    CHECK(cut_bytes_of(bytes, split) == fewest);
    CHECK(squared_parts(costs, split) == most_even);
  }
}

TEST_CASE("split: a slightly less even cut with fewer bytes wins, a much less even one does not") {
  const std::vector<std::int64_t> bytes{0, 9, 9, 1, 9, 9};
  CHECK(contiguous_split({.costs = std::vector{10., 10., 10.5, 9.5, 10., 10.},
                          .cut_bytes = bytes,
                          .parts = 2}) == Firsts{0, 3});
  CHECK(contiguous_split({.costs = std::vector{10., 10., 15., 5., 10., 10.},
                          .cut_bytes = std::vector<std::int64_t>{0, 9, 9, 1, 0, 9},
                          .parts = 2}) == Firsts{0, 3});
}

TEST_CASE("split: beside one part that nothing can shrink, the others are even") {
  CHECK(contiguous_split({.costs = std::vector{1., 1., 1., 1., 1., 1., 20.},
                          .cut_bytes = std::vector<std::int64_t>(7, 1),
                          .parts = 4}) == Firsts{0, 2, 4, 6});
}

TEST_CASE("split: as many parts as items, free items, one part") {
  const std::vector<double> zeros(5, 0.0);
  const std::vector<std::int64_t> bytes(5, 1);
  CHECK(contiguous_split({.costs = zeros, .cut_bytes = bytes, .parts = 5}) ==
        Firsts{0, 1, 2, 3, 4});
  CHECK(contiguous_split({.costs = zeros, .cut_bytes = bytes, .parts = 1}) == Firsts{0});
}

}  // namespace
}  // namespace longhaul::scheduler
