// Claims about the topological order.
#include "proto/graph_order.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

namespace longhaul::proto {
namespace {

using Reads = std::vector<std::vector<std::uint32_t>>;

TEST_CASE("order: of the ready nodes the lowest goes first") {
  CHECK(topological_order({{}, {3}, {}, {0}}).order == std::vector<std::uint32_t>{0, 2, 3, 1});
  CHECK(topological_order({{}, {0}, {0}, {1, 2}}).order ==
        std::vector<std::uint32_t>{0, 1, 2, 3});
}

TEST_CASE("order: the cycle found is a cycle") {
  std::mt19937_64 random(7);
  int cyclic = 0;
  for (int round = 0; round < 500; ++round) {
    CAPTURE(round);
    Reads reads(12);
    for (auto& read : reads) {
      for (std::size_t k = random() % 3; k-- > 0;) {
        read.push_back(static_cast<std::uint32_t>(random() % reads.size()));
      }
    }
    const TopologicalOrder result = topological_order(reads);
    if (result.cycle.empty()) {
      CHECK(result.order.size() == reads.size());
      continue;
    }
    ++cyclic;
    CHECK(result.order.empty());
    for (std::size_t i = 0; i < result.cycle.size(); ++i) {
      const auto& read = reads[result.cycle[(i + 1) % result.cycle.size()]];
      CHECK(std::find(read.begin(), read.end(), result.cycle[i]) != read.end());
    }
  }
  CHECK(cyclic > 50);
}

TEST_CASE("order: a node may read another twice") {
  CHECK(topological_order({{1, 1}, {}}).order == std::vector<std::uint32_t>{1, 0});
}

}  // namespace
}  // namespace longhaul::proto
