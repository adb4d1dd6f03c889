// Claims about the cheapest strategies of a stage, against every plan there is and the plain table.
#include "scheduler/galvatron/stage_program.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace longhaul::scheduler::galvatron {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Instance {
  std::uint32_t layers = 1;
  std::uint64_t budget_mb = 0;
  std::vector<std::uint64_t> memory_mb = {};
  std::vector<double> cost_s = {};
  std::vector<double> transition_s = {};

  [[nodiscard]] StageProblem problem() const {
    return {layers, budget_mb, memory_mb, cost_s, transition_s};
  }
  [[nodiscard]] std::size_t strategies() const { return cost_s.size(); }
};

using Plan = std::vector<std::size_t>;

double cost(const Instance& instance, const Plan& plan) {
  double sum = 0.0;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    if (i > 0) sum += instance.transition_s[plan[i - 1] * instance.strategies() + plan[i]];
    sum += instance.cost_s[plan[i]];
  }
  return sum;
}

std::uint64_t memory(const Instance& instance, const Plan& plan) {
  std::uint64_t sum = 0;
  for (const std::size_t s : plan) sum += instance.memory_mb[s];
  return sum;
}

double cheapest_of_all(const Instance& instance) {
  double best = kInfinity;
  Plan plan(instance.layers, 0);
  for (;;) {
    if (memory(instance, plan) <= instance.budget_mb) best = std::min(best, cost(instance, plan));
    std::size_t i = 0;
    while (i < plan.size() && ++plan[i] == instance.strategies()) plan[i++] = 0;
    if (i == plan.size()) return best;
  }
}

// The recurrence of the header, with all of its states.
std::optional<Plan> by_plain_table(const Instance& instance) {
  const std::size_t count = instance.strategies();
  const std::size_t row = instance.budget_mb + 1;
  std::vector<double> before(count * row, 0.0);
  std::vector<std::vector<std::size_t>> chosen(instance.layers,
                                               std::vector<std::size_t>(count * row));
  for (std::uint32_t layer = 0; layer < instance.layers; ++layer) {
    std::vector<double> now(count * row, kInfinity);
    for (std::size_t s = 0; s < count; ++s) {
      for (std::size_t v = instance.memory_mb[s]; v < row; ++v) {
        for (std::size_t w = 0; w < count; ++w) {
          const double transition = layer == 0 ? 0.0 : instance.transition_s[w * count + s];
          const double sum =
              before[w * row + v - instance.memory_mb[s]] + transition + instance.cost_s[s];
          if (sum < now[s * row + v]) {
            now[s * row + v] = sum;
            chosen[layer][s * row + v] = w;
          }
        }
      }
    }
    before = std::move(now);
  }
  std::size_t s = 0;
  for (std::size_t w = 1; w < count; ++w) {
    if (before[w * row + instance.budget_mb] < before[s * row + instance.budget_mb]) s = w;
  }
  if (before[s * row + instance.budget_mb] == kInfinity) return std::nullopt;
  Plan plan(instance.layers);
  std::size_t v = instance.budget_mb;
  for (std::size_t layer = instance.layers; layer-- > 0;) {
    plan[layer] = s;
    const std::size_t w = chosen[layer][s * row + v];
    v -= instance.memory_mb[s];
    s = w;
  }
  return plan;
}

struct Sizes {
  std::uint32_t most_layers = 6;
  std::size_t most_strategies = 4;
  std::uint64_t most_mb = 30;
};

// Costs fall with memory, roughly, as they do for layers; half of the instances have ties.
Instance random_instance(std::uint64_t seed, const Sizes& sizes) {
  std::mt19937_64 random(seed);
  const auto below = [&](std::uint64_t bound) { return random() % bound; };
  const bool coarse = below(2) == 0;
  const double transition = below(2) == 0 ? 0.5 : 5.0;
  Instance instance{.layers = static_cast<std::uint32_t>(1 + below(sizes.most_layers))};
  const std::size_t count = 1 + below(sizes.most_strategies);
  for (std::size_t s = 0; s < count; ++s) {
    instance.memory_mb.push_back(1 + below(sizes.most_mb));
    double cost = 30.0 / static_cast<double>(4 + instance.memory_mb.back());
    cost += static_cast<double>(below(coarse ? 3 : 1000)) / (coarse ? 1.0 : 700.0);
    instance.cost_s.push_back(coarse ? std::round(1.0 + cost) : 0.01 + cost);
  }
  for (std::size_t from = 0; from < count; ++from) {
    for (std::size_t to = 0; to < count; ++to) {
      const double any =
          transition * static_cast<double>(below(coarse ? 3 : 1000)) / (coarse ? 1.0 : 1000.0);
      instance.transition_s.push_back(from == to || below(2) == 0 ? 0.0 : any);
    }
  }
  instance.budget_mb = below(instance.layers * sizes.most_mb + 2);
  return instance;
}

TEST_CASE("stage program: as cheap as the cheapest of all plans, and within the budget") {
  std::size_t feasible = 0;
  for (std::uint64_t seed = 1; seed <= 3000; ++seed) {
    CAPTURE(seed);
    const Instance instance = random_instance(seed, {});
    const auto plan = cheapest_strategies(instance.problem());
    const double best = cheapest_of_all(instance);
    CHECK(plan.has_value() == (best < kInfinity));
    if (!plan) continue;
    ++feasible;
    CHECK(plan->size() == instance.layers);
    CHECK(memory(instance, *plan) <= instance.budget_mb);
    CHECK(cost(instance, *plan) == doctest::Approx(best).epsilon(1e-12));
  }
  CHECK(feasible > 1000);
}

TEST_CASE("stage program: finds the very plan of the plain table, of equals too") {
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    CAPTURE(seed);
    const Instance instance =
        random_instance(seed, {.most_layers = 20, .most_strategies = 8, .most_mb = 60});
    CHECK(cheapest_strategies(instance.problem()) == by_plain_table(instance));
  }
}

TEST_CASE("stage program: a budget that fits exactly is enough, one MB less is not") {
  Instance instance{.layers = 3,
                    .budget_mb = 30,
                    .memory_mb = {10, 20},
                    .cost_s = {2.0, 1.0},
                    .transition_s = {0.0, 0.0, 0.0, 0.0}};
  CHECK(cheapest_strategies(instance.problem()) == Plan{0, 0, 0});
  instance.budget_mb = 29;
  CHECK(cheapest_strategies(instance.problem()) == std::nullopt);
  instance.budget_mb = 60;
  CHECK(cheapest_strategies(instance.problem()) == Plan{1, 1, 1});
}

}  // namespace
}  // namespace longhaul::scheduler::galvatron
