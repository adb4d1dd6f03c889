// Planners against the optimum, the validator and each other.
#include "scheduler/planners/planning_problem.hpp"

#include "scheduler/planners/device_groups.hpp"
#include "scheduler/planners/evaluation.hpp"
#include "scheduler/planners/open_tour.hpp"
#include "tests/unit/scheduler/random_problems.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>
#include <set>

using namespace longhaul;
using namespace longhaul::scheduler;
using longhaul::tests::plain_problem;
using longhaul::tests::random_problem;

namespace {

constexpr PlannerKind kAll[] = {PlannerKind::kEqualOperators, PlannerKind::kEqualCompute,
                                PlannerKind::kOpFence,        PlannerKind::kDtFm,
                                PlannerKind::kExhaustive,     PlannerKind::kAuto};
constexpr PlannerBudget kBudget{.evaluations = 4000};

std::string error_of(const PlanningProblem& problem, PlannerKind planner = PlannerKind::kAuto) {
  const auto plan = make_plan(problem, planner, kBudget);
  return plan ? "a plan" : plan.error().message;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

void two_sites(PlanningProblem& problem, double bytes_per_s) {
  problem.fleet.sites.push_back({.name = "there"});
  const FleetPath slow{.delay_s = 0.01, .bytes_per_s = bytes_per_s};
  problem.fleet.between_sites = {{}, slow, slow, {}};
  for (std::size_t d = problem.fleet.devices.size() / 2; d < problem.fleet.devices.size(); ++d) {
    problem.fleet.hosts[problem.fleet.devices[d].host].site = 1;
  }
}

}  // namespace

TEST_CASE("planners: equal devices and free links make equal stages") {
  const PlanningProblem problem = plain_problem(8, 4);
  for (const PlannerKind planner : kAll) {
    CAPTURE(planner_name(planner));
    const auto plan = make_plan(problem, planner, kBudget);
    REQUIRE(plan.has_value());
    REQUIRE(plan->stages.size() == 4);
    for (const PlacedStage& stage : plan->stages) CHECK(stage.end - stage.first == 2);
  }
}

TEST_CASE("planners: auto gives a faster device more, and leaves out what only costs time") {
  PlanningProblem problem = plain_problem(9, 3);
  problem.batch = 64;
  problem.fleet.devices[1].speed = 7.0;
  problem.fleet.devices[2].speed = 0.05;
  const auto plan = make_plan(problem, PlannerKind::kAuto, kBudget);
  REQUIRE(plan.has_value());
  REQUIRE(plan->stages.size() == 2);
  for (const PlacedStage& stage : plan->stages) {
    CHECK(stage.end - stage.first == (stage.device == 1 ? 8 : 1));
  }
}

TEST_CASE("planners: op-fence cuts between groups where few bytes cross") {
  PlanningProblem problem = plain_problem(16, 4, 1.0, 1e6);
  two_sites(problem, 1e6);
  std::swap(problem.fleet.hosts[1].site, problem.fleet.hosts[2].site);
  problem.workloads[0].operators[8].output_bytes = 10.0;  // near the middle
  const auto plan = make_plan(problem, PlannerKind::kOpFence);
  REQUIRE(plan.has_value());
  REQUIRE(plan->stages.size() == 4);
  CHECK(plan->stages[1].end == 9);
  CHECK(problem.fleet.site_of(plan->stages[0].device) ==
        problem.fleet.site_of(plan->stages[1].device));
  CHECK(problem.fleet.site_of(plan->stages[2].device) ==
        problem.fleet.site_of(plan->stages[3].device));
}

TEST_CASE("planners: dt-fm crosses slow links once") {
  PlanningProblem problem = plain_problem(12, 6, 1.0, 1e3);
  two_sites(problem, 1e3);
  std::swap(problem.fleet.hosts[1].site, problem.fleet.hosts[4].site);
  const auto plan = make_plan(problem, PlannerKind::kDtFm);
  REQUIRE(plan.has_value());
  int crossed = 0;
  for (std::size_t s = 1; s < plan->stages.size(); ++s) {
    crossed += problem.fleet.site_of(plan->stages[s].device) !=
               problem.fleet.site_of(plan->stages[s - 1].device);
  }
  CHECK(crossed == 1);
}

TEST_CASE(
    "planners: every plan passes the validator, and auto is near the optimum, never below "
    "another") {
  double worst = 1.0;
  double sum = 0.0;
  int compared = 0;
  for (std::uint64_t seed = 1000; seed < 1030; ++seed) {
    CAPTURE(seed);
    const PlanningProblem problem = random_problem(seed);
    const auto best = make_plan(problem, PlannerKind::kExhaustive);
    for (const PlannerKind planner : kAll) {
      CAPTURE(planner_name(planner));
      const auto plan = make_plan(problem, planner, kBudget);
      if (!plan) {
        CHECK(plan.error().kind == proto::ErrorKind::kResource);
        CHECK((has(plan.error().message, "memory: ") || has(plan.error().message, "data: ")));
        continue;
      }
      CHECK(check_placement(problem, *plan).empty());
      REQUIRE(best.has_value());
      const double ratio =
          simulated_cost(problem, *plan).score / simulated_cost(problem, *best).score;
      CHECK(ratio >= 1.0 - 1e-9);
      if (planner != PlannerKind::kAuto) continue;
      worst = std::max(worst, ratio);
      sum += ratio;
      ++compared;
    }
    CHECK(make_plan(problem, PlannerKind::kAuto, kBudget).has_value() == best.has_value());
  }
  CHECK(compared >= 20);
  CHECK(sum / compared <= 1.01);
  CHECK(worst <= 1.05);
}

TEST_CASE("planners: constraints hold in every plan") {
  for (std::uint64_t seed = 0; seed < 24; ++seed) {
    CAPTURE(seed);
    PlanningProblem problem = random_problem(seed);
    std::mt19937_64 random(seed);
    PlanConstraints& constraints = problem.constraints;
    const auto& devices = problem.fleet.devices;
    const auto& operators = problem.workloads[0].operators;
    if (seed % 2 == 0) {
      constraints.pins[operators[random() % operators.size()].id] =
          devices[random() % devices.size()].node;
    }
    if (seed % 3 == 0) constraints.devices = 1 + random() % devices.size();
    if (seed % 4 == 1) constraints.keep_order = true;
    if (seed % 5 == 0) constraints.data_stays = true;
    if (seed % 6 == 2) constraints.excluded_nodes = {devices.back().node};
    if (seed % 4 == 3) {
      for (Site& site : problem.fleet.sites) site.egress_bytes_per_hour = 2e9;
    }
    if (seed % 8 == 7) problem.objective = Objective::kCostPerToken;
    const auto best = make_plan(problem, PlannerKind::kExhaustive);
    for (const PlannerKind planner : kAll) {
      CAPTURE(planner_name(planner));
      const auto plan = make_plan(problem, planner, kBudget);
      if (!plan) {
        CHECK(plan.error().message.size() > 20);
        continue;
      }
      CHECK(check_placement(problem, *plan).empty());
      CHECK(best.has_value());
    }
    CHECK(make_plan(problem, PlannerKind::kAuto, kBudget).has_value() == best.has_value());
  }
}

TEST_CASE("planners: auto is never below another planner on larger fleets, and deterministic") {
  PlanningProblem problem = plain_problem(60, 24, 0.01, 2e5);
  two_sites(problem, 3e6);
  std::mt19937_64 random(5);
  for (FleetDevice& device : problem.fleet.devices) {
    device.speed = 1.0 + static_cast<double>(random() % 8);
  }
  problem.batch = 32;
  problem.run_ahead = {0, 4};
  const PlannerBudget budget{.evaluations = 1500};
  const auto plan = make_plan(problem, PlannerKind::kAuto, budget);
  REQUIRE(plan.has_value());
  const double step_s = simulated_cost(problem, *plan).step_s;
  for (const PlannerKind planner : kAll) {
    if (planner == PlannerKind::kExhaustive) continue;
    CAPTURE(planner_name(planner));
    const auto other = make_plan(problem, planner, budget);
    REQUIRE(other.has_value());
    CHECK(simulated_cost(problem, *other).step_s >= step_s * (1.0 - 1e-9));
  }
  const auto again = make_plan(problem, PlannerKind::kAuto, budget);
  REQUIRE(again.has_value());
  CHECK(simulated_cost(problem, *again).step_s == step_s);
  CHECK(has(error_of(problem, PlannerKind::kExhaustive), "use auto"));
}

TEST_CASE("planners: an infeasible problem says which constraint fails and by how much") {
  PlanningProblem problem = plain_problem(4, 2);
  for (FleetDevice& device : problem.fleet.devices) device.memory_bytes = 150;
  CHECK(has(error_of(problem),
            "the model's state alone needs 400 B, and all devices together have "
            "300 B: 100 B too little"));
  for (FleetDevice& device : problem.fleet.devices) device.memory_bytes = 220;
  CHECK(has(error_of(problem), "memory: stage"));
  CHECK(has(error_of(problem), "more memory there"));

  problem = plain_problem(4, 2);
  problem.objective = Objective::kCostUnderDeadline;
  problem.deadline_s = 1.0;
  CHECK(has(error_of(problem), "deadline: a step takes"));

  problem = plain_problem(4, 2, 1.0, 1e9);
  two_sites(problem, 1e12);
  problem.constraints.devices = 2;
  problem.fleet.sites[0].egress_bytes_per_hour = 10.0;
  CHECK(has(error_of(problem), "egress: site 'here'"));

  problem = plain_problem(4, 2);
  problem.constraints.pins = {{"op0", "node0"}, {"op2", "node1"}, {"op3", "node0"}};
  CHECK(has(error_of(problem), "pin: operator"));

  problem = plain_problem(4, 2);
  problem.workloads[0].operators[0].needs_data = true;
  for (FleetDevice& device : problem.fleet.devices) device.has_data = false;
  CHECK(has(error_of(problem), "data: stage 0"));
}

TEST_CASE("planners: contradictions are told before anything is planned") {
  PlanningProblem problem = plain_problem(4, 2);
  problem.constraints.pins = {{"op9", "node0"}};
  CHECK(has(error_of(problem), "operator 'op9' is pinned, and the model has none"));
  problem.constraints.pins = {{"op1", "nobody"}};
  CHECK(has(error_of(problem), "'nobody', which is not there"));
  problem.constraints.pins = {{"op1", "node1"}};
  problem.constraints.excluded_nodes = {"node1"};
  CHECK(has(error_of(problem), "'node1', which is excluded"));
  problem.constraints = {};
  problem.constraints.devices = 3;
  CHECK(has(error_of(problem), "use 3 devices, and there are 2"));
  problem = plain_problem(4, 2);
  problem.fleet.devices[1].kind = "unseen";
  CHECK(has(error_of(problem), "'unseen', for which the workload has no times"));
  problem = plain_problem(4, 2);
  problem.workloads[0].micro_batch_size = 3;
  CHECK(has(error_of(problem), "no multiple"));
  problem = plain_problem(4, 2);
  problem.codecs = {{.name = "more", .ratio = 1.5}};
  CHECK(has(error_of(problem), "codec 'more'"));
}

TEST_CASE("planners: the cheapest plan uses the cheap device, a deadline makes it use more") {
  PlanningProblem problem = plain_problem(8, 2);
  problem.fleet.devices[0].price_per_hour = 100.0;
  problem.fleet.devices[1].price_per_hour = 1.0;
  problem.objective = Objective::kCostPerToken;
  auto plan = make_plan(problem, PlannerKind::kAuto, kBudget);
  REQUIRE(plan.has_value());
  REQUIRE(plan->stages.size() == 1);
  CHECK(plan->stages[0].device == 1);
  const double alone_s = simulated_cost(problem, *plan).step_s;
  problem.objective = Objective::kCostUnderDeadline;
  problem.deadline_s = 0.8 * alone_s;
  plan = make_plan(problem, PlannerKind::kAuto, kBudget);
  REQUIRE(plan.has_value());
  CHECK(plan->stages.size() == 2);
  CHECK(simulated_cost(problem, *plan).step_s <= problem.deadline_s);
}

TEST_CASE("open_tour: shortest for few places, and no longer for many than a first guess") {
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const auto drawn = [&](std::size_t size) {
      TourCosts costs{.size = size, .costs = std::vector<double>(size * size)};
      for (std::size_t a = 0; a < size; ++a) {
        for (std::size_t b = a + 1; b < size; ++b) {
          costs.costs[a * size + b] = costs.costs[b * size + a] =
              static_cast<double>(random() % 1000);
        }
      }
      return costs;
    };
    const TourCosts few = drawn(6);
    std::vector<std::size_t> order{0, 1, 2, 3, 4, 5};
    double least = tour_cost(few, order);
    while (std::ranges::next_permutation(order).found) {
      least = std::min(least, tour_cost(few, order));
    }
    CHECK(tour_cost(few, open_tour(few)) == doctest::Approx(least));
    const TourCosts many = drawn(30);
    std::vector<std::size_t> tour = open_tour(many);
    order.resize(30);
    for (std::size_t i = 0; i < 30; ++i) order[i] = i;
    CHECK(tour_cost(many, tour) < 0.5 * tour_cost(many, order));
    std::ranges::sort(tour);
    CHECK(tour == order);
  }
}

TEST_CASE("bandwidth_communities: devices that reach each other well are one group") {
  PlanningProblem problem = plain_problem(12, 9);
  two_sites(problem, 1e6);
  problem.fleet.between_sites[0].bytes_per_s = problem.fleet.between_sites[3].bytes_per_s = 1e9;
  std::vector<std::size_t> devices{0, 1, 2, 3, 4, 5, 6, 7, 8};
  const auto groups = bandwidth_communities(problem.fleet, devices);
  REQUIRE(groups.size() == 2);
  for (const auto& group : groups) {
    for (const std::size_t d : group) {
      CHECK(problem.fleet.site_of(d) == problem.fleet.site_of(group[0]));
    }
  }
  CHECK(bandwidth_communities(problem.fleet, {3}).size() == 1);
}
