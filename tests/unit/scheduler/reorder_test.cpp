// Claims about reordering: nothing is lost, bounds hold, and nothing gets slower.
#include "scheduler/reorder.hpp"

#include "tests/unit/scheduler/units/skewed_batch.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <random>

namespace longhaul::scheduler {
namespace {

bool is_permutation_of_all(std::vector<std::uint32_t> indices, std::size_t count) {
  std::sort(indices.begin(), indices.end());
  std::vector<std::uint32_t> all(count);
  std::iota(all.begin(), all.end(), 0U);
  return indices == all;
}

std::vector<std::uint32_t> all_samples(const ReplicaShares& shares) {
  std::vector<std::uint32_t> all;
  for (const auto& share : shares.samples) all.insert(all.end(), share.begin(), share.end());
  return all;
}

// The smallest largest load, by every assignment of which no two differ in names of replicas only.
double optimum(const std::vector<double>& costs, std::uint32_t replicas, std::size_t room) {
  std::vector<double> loads(replicas);
  std::vector<std::size_t> sizes(replicas);
  double best = std::numeric_limits<double>::infinity();
  const std::function<void(std::size_t)> assign = [&](std::size_t sample) {
    if (sample == costs.size()) {
      best = std::min(best, *std::max_element(loads.begin(), loads.end()));
      return;
    }
    for (std::uint32_t r = 0; r < replicas; ++r) {
      if (sizes[r] == room || loads[r] + costs[sample] >= best) continue;
      loads[r] += costs[sample];
      ++sizes[r];
      assign(sample + 1);
      loads[r] -= costs[sample];
      --sizes[r];
      if (sizes[r] == 0) break;  // an empty one is like another
    }
  };
  assign(0);
  return best;
}

std::vector<double> random_costs(std::mt19937_64& random, std::size_t count) {
  std::vector<double> costs(count);
  const bool skewed = random() % 2 == 0;
  for (double& cost : costs) {
    const auto value = static_cast<double>(random() % 1000);
    cost = skewed ? value * value * value / 1e6 : value;
  }
  return costs;
}

TEST_CASE("replicas: every sample of the batch is in one share, and loads are what is told") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const std::vector<double> costs = random_costs(random, random() % 60);
    const auto replicas = static_cast<std::uint32_t>(1 + random() % 9);
    for (const ReplicaCounts counts : {ReplicaCounts::kEqual, ReplicaCounts::kAny}) {
      const ReplicaShares shares = balance_replicas(costs, replicas, counts);
      REQUIRE(shares.samples.size() == replicas);
      CHECK(is_permutation_of_all(all_samples(shares), costs.size()));
      double largest = 0;
      for (const std::vector<std::uint32_t>& share : shares.samples) {
        double load = 0;
        for (const std::uint32_t sample : share) load += costs[sample];
        largest = std::max(largest, load);
        CHECK(std::is_sorted(share.begin(), share.end(), [&](std::uint32_t a, std::uint32_t b) {
          return costs[a] != costs[b] ? costs[a] > costs[b] : a < b;
        }));
        if (counts == ReplicaCounts::kAny) continue;
        CHECK(share.size() >= costs.size() / replicas);
        CHECK(share.size() <= (costs.size() + replicas - 1) / replicas);
      }
      CHECK(shares.largest == doctest::Approx(largest).epsilon(1e-12));
    }
  }
}

TEST_CASE("replicas: longest first stays within 4/3 - 1/(3m) of the optimum") {
  double worst_equal = 1.0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const std::vector<double> costs = random_costs(random, 1 + random() % 10);
    const auto replicas = static_cast<std::uint32_t>(1 + random() % 4);
    const double any = balance_replicas(costs, replicas, ReplicaCounts::kAny).largest;
    CHECK(any <= optimum(costs, replicas, costs.size()) * (4.0 / 3.0 - 1.0 / (3.0 * replicas)) *
                     (1.0 + 1e-12));
    const double equal = balance_replicas(costs, replicas, ReplicaCounts::kEqual).largest;
    const double best_equal = optimum(costs, replicas, (costs.size() + replicas - 1) / replicas);
    if (costs.size() % replicas == 0 && best_equal > 0.0) {
      worst_equal = std::max(worst_equal, equal / best_equal);
    }
  }
  MESSAGE("equal counts: worst over the optimum of equal counts: " << worst_equal);
  CHECK(worst_equal <= 4.0 / 3.0);
}

TEST_CASE("replicas: Graham's worst case is as bad as he says") {
  // 2m + 1 jobs 2m-1, 2m-1, ..., m, m, m: here m = 3.
  const std::vector<double> costs{5, 5, 4, 4, 3, 3, 3};
  CHECK(balance_replicas(costs, 3, ReplicaCounts::kAny).largest == 11.0);
  CHECK(optimum(costs, 3, 7) == 9.0);
}

TEST_CASE("replicas: an exchange levels what longest first with equal counts leaves") {
  const std::vector<double> costs{10, 1, 1, 1, 1, 1};  // 10 + 1 + 1 against 3 is the best there is
  CHECK(balance_replicas(costs, 2, ReplicaCounts::kEqual).largest == 12.0);
  const std::vector<double> pairs{8, 7, 6, 5, 4, 4, 2, 0};  // two of 18 exist: {8, 6, 4, 0}
  CHECK(balance_replicas(pairs, 2, ReplicaCounts::kEqual).largest == 18.0);
}

TEST_CASE("pipeline order: a permutation whatever the pipeline, never slower than arrival") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const auto stages = static_cast<std::uint32_t>(1 + random() % 6);
    const auto m = static_cast<std::uint32_t>(1 + random() % 14);
    const std::vector<double> forward = random_costs(random, std::size_t{stages} * m);
    const std::vector<double> backward = random_costs(random, std::size_t{stages} * m);
    const std::vector<double> wire = random_costs(random, std::size_t{stages - 1} * m);
    PipelineDurations durations{.forward_s = forward,
                                .input_gradient_s = backward,
                                .activation_transfer_s = wire,
                                .gradient_transfer_s = wire};
    CHECK(is_permutation_of_all(best_fit_order(stages, m, durations), m));
    const PipelineOrder ordered = pipeline_order(stages, m, durations, 100);
    CHECK(is_permutation_of_all(ordered.order, m));
    CHECK(ordered.total_s <= ordered.arrival_s);
    CHECK(ordered.total_s <= ordered.best_fit_s);
    durations.order = ordered.order;
    const PipelineClock clock(proto::ScheduleKind::kOneForwardOneBackward, stages, m);
    CHECK(clock.total_s(durations) == ordered.total_s);
  }
}

TEST_CASE("pipeline order: the smallest first, the p - 1 smallest of the rest last") {
  // Stage 0 takes 1 to 8, the other two always 3; backward twice the forward.
  const std::vector<double> first{8, 2, 7, 1, 6, 3, 5, 4};
  std::vector<double> forward = first;
  forward.insert(forward.end(), 16, 3.0);
  std::vector<double> backward;
  for (const double seconds : forward) backward.push_back(2.0 * seconds);
  const std::vector<std::uint32_t> order =
      best_fit_order(3, 8, {.forward_s = forward, .input_gradient_s = backward});
  CHECK(first[order[0]] == 1);
  CHECK(first[order[6]] == 3);
  CHECK(first[order[7]] == 2);
}

TEST_CASE("pipeline order: shortens the step of a skewed batch on average") {
  double best_fit = 0;
  double exchanged = 0;
  constexpr int kSeeds = 20;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const SkewedBatch batch(seed, {.stages = 6, .micro_batches = 24});
    const PipelineOrder ordered = pipeline_order(6, 24, batch.durations());
    best_fit += ordered.arrival_s / ordered.best_fit_s / kSeeds;
    exchanged += ordered.arrival_s / ordered.total_s / kSeeds;
  }
  MESSAGE("over arrival: best fit " << best_fit << ", with exchanges " << exchanged);
  CHECK(best_fit > 1.0);
  CHECK(exchanged > best_fit);
}

}  // namespace
}  // namespace longhaul::scheduler
