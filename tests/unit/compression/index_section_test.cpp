// Mask order and index sections: back to the same entries, and within 2 % of the bound.
#include "compression/mask_indices.hpp"
#include "compression/random.hpp"
#include "tests/unit/compression/tensors.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace longhaul::compression {
namespace {

struct Section {
  std::vector<std::uint32_t> mask;
  std::vector<std::byte> bytes;
  bool fine = false;
};

Section section_of(const std::vector<std::uint32_t>& kept, Shape shape) {
  Section section;
  section.mask.resize(kept.size());
  std::vector<std::uint32_t> places(kept.size());
  Buffer<std::uint32_t> counts;
  Buffer<std::uint8_t> parameters;
  Buffer<std::uint16_t> group_bytes;
  to_mask_order(kept, shape, counts, section.mask, places);
  CHECK(std::ranges::is_sorted(places));
  const IndexPlan plan = plan_index_section(places, parameters, group_bytes);
  section.bytes.resize(plan.bytes);
  section.fine = plan.fine;
  write_index_section(places, plan, parameters.span(), group_bytes.span(), section.bytes.data());
  return section;
}

void check_round_trip(const std::vector<std::uint32_t>& kept, Shape shape) {
  const Section section = section_of(kept, shape);
  std::vector<std::uint32_t> sorted = section.mask;
  std::ranges::sort(sorted);
  CHECK(sorted == kept);
  std::vector<std::uint32_t> back(kept.size());
  REQUIRE(read_index_section(section.bytes, section.fine, shape, back).has_value());
  CHECK(back == section.mask);
}

// Each of n entries with this probability.
std::vector<std::uint32_t> random_entries(std::size_t n, double density, std::uint64_t seed) {
  const HashKey key = hash_key(seed);
  std::vector<std::uint32_t> kept;
  for (std::uint32_t i = 0; i < n; ++i) {
    if (hash(key, i) < density * 0x1p32) kept.push_back(i);
  }
  return kept;
}

// log2 of the number of ways to choose k of n.
double log2_choose(double n, double k) {
  return (std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1)) / std::log(2.0);
}

TEST_CASE("index section: random entries of any shape and density come back") {
  for (const Shape shape : {Shape{1, 1}, Shape{1, 5000}, Shape{5000, 1}, Shape{3, 700},
                            Shape{1024, 9}, Shape{1025, 9}, Shape{2500, 33}}) {
    CAPTURE(shape.rows);
    for (const double density : {0.0, 0.001, 0.02, 0.3, 0.7, 1.0}) {
      CAPTURE(density);
      check_round_trip(random_entries(shape.elements(), density, shape.columns), shape);
    }
  }
}

TEST_CASE("index section: one entry far away, and one long gap between many short ones") {
  const Shape large{1, (std::size_t{1} << 31) - 1};
  check_round_trip({0x7ffffffe}, large);
  check_round_trip({0, 0x7ffffffe}, large);
  std::vector<std::uint32_t> kept(5000);
  std::iota(kept.begin(), kept.end(), 0U);
  for (std::size_t i = 2500; i < kept.size(); ++i) kept[i] += 0x7ff00000;
  check_round_trip(kept, large);
}

TEST_CASE("index section: random positions take at most 2 % more than log2 C(n, k)") {
  const Shape shape{1024, 1024};
  for (const double one_in : {4.0, 5.0, 7.0, 10.0, 15.0, 30.0, 64.0, 100.0, 300.0, 1000.0}) {
    CAPTURE(one_in);
    const auto kept = random_entries(shape.elements(), 1.0 / one_in, 99);
    const double bound =
        log2_choose(static_cast<double>(shape.elements()), static_cast<double>(kept.size()));
    const double bits = 8.0 * static_cast<double>(section_of(kept, shape).bytes.size());
    CHECK(bits < 1.02 * bound);
  }
}

TEST_CASE("index section: entries that cluster in channels take less than the random bound") {
  const Shape shape{1024, 768};
  const Encoded sent = encoded(tensor("channels", shape), shape, rung("topk10%-fp32"));
  const std::size_t bytes = sent.payload.size() - 12 - 4 * sent.mask.size();
  const double bound =
      log2_choose(static_cast<double>(shape.elements()), static_cast<double>(sent.mask.size()));
  CHECK(8.0 * static_cast<double>(bytes) < 0.95 * bound);
}

}  // namespace
}  // namespace longhaul::compression
