// Claims about groups of devices: what they exchange, how operators are spread, what hybrid finds.
#include "scheduler/groups/grouped_plan.hpp"
#include "scheduler/groups/grouped_problem.hpp"
#include "scheduler/groups/spread_operators.hpp"
#include "scheduler/groups/units_of_problem.hpp"
#include "scheduler/planners/evaluation.hpp"
#include "tests/unit/scheduler/random_problems.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>
#include <set>

namespace longhaul::scheduler {
namespace {

constexpr std::uint32_t kSamples = 12;

// `devices` alike at one site with links of 1 GB/s; matrices and attentions in turn.
PlanningProblem one_site(std::size_t devices, std::size_t operators = 8) {
  PlanningProblem problem = tests::plain_problem(operators, devices, 0.1, 1e6);
  problem.batch = 4 * kSamples;
  problem.fleet.between_sites = {{.delay_s = 1e-5, .bytes_per_s = 1e9}};
  Workload& workload = problem.workloads[0];
  workload.micro_batch_size = kSamples;
  for (std::size_t i = 0; i < operators; ++i) {
    WorkloadOperator& op = workload.operators[i];
    op.exchange = i % 3 == 2 ? Exchange::kAttention : Exchange::kMatrix;
    op.parameter_bytes = op.exchange == Exchange::kMatrix ? 4e6 : 0.0;
    op.state_bytes = 4.0 * op.parameter_bytes;
    op.saved_bytes = 2e6;
    op.update_s = 1e-3;
  }
  return problem;
}

std::vector<std::size_t> first_devices(std::size_t count) {
  std::vector<std::size_t> devices(count);
  std::iota(devices.begin(), devices.end(), 0);
  return devices;
}

// Every operator placed once, on groups whose strategies are for them.
void check_groups(const PlanningProblem& asked, const GroupedPlan& plan) {
  std::set<std::size_t> used;
  REQUIRE(plan.stages.size() == plan.placed.stages.size());
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    const StageGroup& group = plan.stages[s];
    std::size_t operators = 0;
    for (const StrategyRun& run : group.runs) {
      CHECK(run.strategy.devices() == group.devices.size());
      CHECK(run.strategy.data <= asked.workloads[plan.placed.workload].micro_batch_size);
      operators += run.operators;
    }
    CHECK(operators == plan.placed.stages[s].end - plan.placed.stages[s].first);
    for (const std::size_t d : group.devices) {
      CHECK(used.insert(d).second);
      CHECK(asked.fleet.site_of(d) == asked.fleet.site_of(group.devices.front()));
      CHECK_FALSE(asked.constraints.excluded_nodes.contains(asked.fleet.devices[d].node));
    }
  }
  const auto found = check_placement(plan.problem, plan.placed);
  CHECK_MESSAGE(found.empty(), found.front().message);
}

TEST_CASE(
    "collectives: rings move (n - 1) / n of a tensor, and share the paths they have in common") {
  const Fleet fleet = one_site(4).fleet;
  const std::vector<std::vector<std::size_t>> one{{0, 1, 2, 3}};
  const RingLink ring = ring_link(fleet, one);
  CHECK(ring.all_gather_s(4e9) == doctest::Approx(3.0 + 3e-5));
  CHECK(ring.all_reduce_s(4e9) == doctest::Approx(6.0 + 6e-5));
  CHECK(ring.all_to_all_s(4e9) == doctest::Approx(0.75 + 3e-5));
  const std::vector<std::vector<std::size_t>> two{{0, 1}, {0, 1}};
  CHECK(ring_link(fleet, two).s_per_byte == doctest::Approx(2e-9));
  CHECK(ring_link(fleet, {}).all_reduce_s(1e9) == 0.0);
}

TEST_CASE("strategies: any degree, not only powers of two, and no replica without a sample") {
  std::set<std::uint32_t> tensor, data;
  for (const GroupStrategy& strategy : group_strategies(6, 3)) {
    CHECK(strategy.devices() == 6);
    CHECK(strategy.data <= 3);
    CHECK((strategy.tensor == 1 || strategy.sequence == 1));
    tensor.insert(strategy.tensor);
    data.insert(strategy.data);
  }
  CHECK(tensor == std::set<std::uint32_t>{1, 2, 3, 6});
  CHECK(data == std::set<std::uint32_t>{1, 2, 3});
  CHECK(group_strategies(1, 8) == std::vector<GroupStrategy>{GroupStrategy{}});
}

TEST_CASE("groups: a device that is twice as fast gets twice the samples") {
  PlanningProblem problem = one_site(2);
  problem.fleet.devices[1].speed = 0.5;
  const GroupCosts costs(problem.fleet, problem.workloads[0], {0, 1});
  const std::size_t data = costs.index_of({.data = 2, .sharding = Sharding::kOptimizer});
  REQUIRE(data < costs.strategies().size());
  CHECK(costs.shares(data, 0).values == doctest::Approx(8.0 / 12.0));
  CHECK(costs.shares(data, 1).values == doctest::Approx(4.0 / 12.0));
  CHECK(costs.cost(0, data).time.forward_s == doctest::Approx(0.1 * 8.0 / 12.0));
  // Tensor parallelism waits for the slowest.
  const std::size_t tensor = costs.index_of({.tensor = 2});
  CHECK(costs.cost(3, tensor).time.weight_gradient_s == doctest::Approx(0.1 / 2.0 / 0.5));
}

// All ways to spread the operators, as spread_operators prices them.
double best_of_all(const GroupCosts& costs, double micro_batches) {
  const std::size_t operators = costs.workload().operators.size();
  const std::size_t count = costs.strategies().size();
  double best = kUnlimited;
  std::vector<std::size_t> chosen(operators);
  const std::function<void(std::size_t, double)> extend = [&](std::size_t op, double sum) {
    if (sum >= best) return;
    if (op == operators) {
      best = sum;
      return;
    }
    for (chosen[op] = 0; chosen[op] < count; ++chosen[op]) {
      const GroupOperatorCost cost = costs.cost(op, chosen[op]);
      double next = sum + micro_batches * cost.time.sum() + cost.reduction_s;
      if (op > 0) next += micro_batches * costs.change_s(op, chosen[op - 1], chosen[op]);
      const std::size_t kept = chosen[op];
      extend(op + 1, next);
      chosen[op] = kept;
    }
  };
  extend(0, 0.0);
  return best;
}

TEST_CASE("spread: without a price of memory no choice of strategies is faster") {
  for (const std::size_t devices : {2U, 3U, 4U}) {
    CAPTURE(devices);
    PlanningProblem problem = one_site(devices, 4);
    for (std::size_t i = 0; i < 4; ++i) {  // large parameters here, large values there
      problem.workloads[0].operators[i].parameter_bytes = i < 2 ? 4e8 : 1e4;
      problem.workloads[0].operators[i].output_bytes = i < 2 ? 1e4 : 3e7;
    }
    const GroupCosts costs(problem.fleet, problem.workloads[0], first_devices(devices));
    const auto chosen = spread_operators(costs, {.micro_batches = 4.0});
    double sum = 0.0;
    for (std::size_t op = 0; op < chosen.size(); ++op) {
      const GroupOperatorCost cost = costs.cost(op, chosen[op]);
      sum += 4.0 * cost.time.sum() + cost.reduction_s;
      if (op > 0) sum += 4.0 * costs.change_s(op, chosen[op - 1], chosen[op]);
    }
    CHECK(sum == doctest::Approx(best_of_all(costs, 4.0)));
  }
}

TEST_CASE("spread: what memory costs is what less of it is kept for") {
  const PlanningProblem problem = one_site(4);
  const GroupCosts costs(problem.fleet, problem.workloads[0], first_devices(4));
  MemoryEstimate whole;
  whole.parameters = whole.gradients = 32'000'000;
  whole.optimizer = 64'000'000;
  whole.activations = 64'000'000;
  std::uint64_t before = ~std::uint64_t{0};
  for (const double price : {0.0, 1e-9, 1e-7, 1e-5}) {
    const auto chosen = spread_operators(
        costs, {.micro_batches = 4.0, .in_flight = 4.0, .price_s_per_byte = price});
    const std::uint64_t bytes = spread_memory(costs, chosen, 0, 8, whole, 0).total();
    CHECK(bytes <= before);
    before = bytes;
  }
  CHECK(before < whole.total() / 3);
}

TEST_CASE("hybrid: on any fleet its plan holds and is no slower than auto's") {
  std::size_t planned = 0;
  std::size_t spread = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    CAPTURE(seed);
    PlanningProblem problem = tests::random_problem(seed);
    const PlannerBudget budget{.evaluations = 1500};
    const auto pipeline = make_plan(problem, PlannerKind::kAuto, budget);
    const auto plan = make_grouped_plan(problem, PlannerKind::kHybrid, budget);
    if (pipeline) REQUIRE_MESSAGE(plan.has_value(), plan.error().message);
    if (!plan) continue;
    check_groups(problem, *plan);
    ++planned;
    spread += plan->runs_today() ? 0 : 1;
    if (pipeline) {
      CHECK(simulated_cost(plan->problem, plan->placed).score <=
            simulated_cost(problem, *pipeline).score * (1.0 + 1e-9));
    }
  }
  CHECK(planned > 20);
  MESSAGE("plans with several devices in a stage: ", spread, " of ", planned);
}

TEST_CASE("hybrid: where every site has one device its plan is auto's pipeline") {
  PlanningProblem problem = tests::plain_problem(9, 3, 0.1, 1e5);
  problem.fleet.sites = {{.name = "a"}, {.name = "b"}, {.name = "c"}};
  for (std::size_t d = 0; d < 3; ++d) problem.fleet.hosts[d].site = d;
  problem.fleet.between_sites.assign(9, {.delay_s = 0.01, .bytes_per_s = 1e7});
  const auto plan = make_grouped_plan(problem, PlannerKind::kHybrid, {.evaluations = 1000}).value();
  CHECK(plan.runs_today());
  const auto pipeline = make_plan(problem, PlannerKind::kAuto, {.evaluations = 1000}).value();
  CHECK(simulated_cost(plan.problem, plan.placed).step_s ==
        doctest::Approx(simulated_cost(problem, pipeline).step_s));
}

TEST_CASE("hybrid: six devices that a short model cannot fill as a pipeline work side by side") {
  const PlanningProblem problem = one_site(6, 3);
  const PlannerBudget budget{.evaluations = 2000};
  const auto pipeline = make_plan(problem, PlannerKind::kAuto, budget).value();
  const auto plan = make_grouped_plan(problem, PlannerKind::kHybrid, budget).value();
  check_groups(problem, plan);
  CHECK_FALSE(plan.runs_today());
  CHECK(simulated_cost(plan.problem, plan.placed).step_s <
        0.7 * simulated_cost(problem, pipeline).step_s);
}

TEST_CASE("hybrid: states are divided where one device could not hold them") {
  PlanningProblem problem = one_site(4, 1);  // one operator: no pipeline helps
  problem.workloads[0].operators[0].parameter_bytes = 4e8;
  problem.workloads[0].operators[0].state_bytes = 1.6e9;
  for (FleetDevice& device : problem.fleet.devices) device.memory_bytes = 1'000'000'000;
  CHECK_FALSE(make_plan(problem, PlannerKind::kAuto, {.evaluations = 200}).has_value());
  const auto plan = make_grouped_plan(problem, PlannerKind::kHybrid, {.evaluations = 200});
  REQUIRE_MESSAGE(plan.has_value(), plan.error().message);
  check_groups(problem, *plan);
  for (FleetDevice& device : problem.fleet.devices) device.memory_bytes = 1'000'000;
  const auto none = make_grouped_plan(problem, PlannerKind::kHybrid, {.evaluations = 200});
  REQUIRE_FALSE(none.has_value());
  CHECK(none.error().kind == proto::ErrorKind::kResource);
  CHECK(none.error().message.find("memory") != std::string::npos);
}

TEST_CASE("groups: a plan that is given is what was planned, and what is wrong with it is named") {
  const PlanningProblem problem = one_site(6, 3);
  const auto plan = make_grouped_plan(problem, PlannerKind::kHybrid, {.evaluations = 500}).value();
  PlacedPipeline placed = plan.placed;
  for (std::size_t s = 0; s < placed.stages.size(); ++s) placed.stages[s].device = s;
  const auto again = given_groups(problem, placed, plan.stages).value();
  CHECK(simulated_cost(again.problem, again.placed).step_s ==
        doctest::Approx(simulated_cost(plan.problem, plan.placed).step_s));
  auto groups = plan.stages;
  groups[0].runs[0].strategy.data += 1;
  CHECK(given_groups(problem, placed, groups).error().message.find("no such strategy") !=
        std::string::npos);
  groups = plan.stages;
  groups[0].devices.push_back(groups[0].devices[0]);
  CHECK(given_groups(problem, placed, groups).error().message.find("used twice") !=
        std::string::npos);
  groups = plan.stages;
  groups[0].runs.back().operators += 1;
  CHECK_FALSE(given_groups(problem, placed, groups).has_value());
}

PlanningProblem multimodal(std::size_t devices) {
  PlanningProblem problem = one_site(devices, 14);
  Workload& workload = problem.workloads[0];
  for (std::size_t i = 0; i < 14; ++i) {
    const char* unit = i < 3 ? "encoder" : i < 11 ? "backbone" : "generator";
    workload.operators[i].id = std::string(unit) + "/op" + std::to_string(i);
    workload.operators[i].flops = i < 3 || i >= 11 ? 1e9 : 4e9;
    const double scale = i < 3 || i >= 11 ? 0.3 : 1.0;
    StageTime& time = workload.times[0][i];
    time = {.forward_s = 0.1 * scale,
            .input_gradient_s = 0.1 * scale,
            .weight_gradient_s = 0.1 * scale};
  }
  return problem;
}

TEST_CASE("disaggregated: units of a model get groups of their own") {
  const PlanningProblem problem = multimodal(16);
  const auto units = units_of(problem.workloads[0]).value();
  REQUIRE(units.size() == 3);
  CHECK(units[1].name == "backbone");
  CHECK(units[1].first == 3);
  CHECK(units[2].end == 14);
  const auto plan = make_grouped_plan(problem, PlannerKind::kDisaggregated);
  REQUIRE_MESSAGE(plan.has_value(), plan.error().message);
  check_groups(problem, *plan);
  for (const std::size_t border : {3U, 11U}) {
    CHECK(std::ranges::any_of(plan->placed.stages,
                              [&](const PlacedStage& stage) { return stage.first == border; }));
  }
  // Equal shares for all units, as who does not know them would cut.
  const auto equal = make_plan(problem, PlannerKind::kEqualOperators).value();
  CHECK(simulated_cost(plan->problem, plan->placed).step_s < simulated_cost(problem, equal).step_s);
}

TEST_CASE("disaggregated: a model of one unit and mixed units are refused with a way out") {
  PlanningProblem problem = multimodal(4);
  problem.workloads[0].operators[5].id = "encoder/late";
  const auto mixed = make_grouped_plan(problem, PlannerKind::kDisaggregated);
  REQUIRE_FALSE(mixed.has_value());
  CHECK(mixed.error().message.find("must be in a row") != std::string::npos);
  const auto one = make_grouped_plan(one_site(4), PlannerKind::kDisaggregated);
  REQUIRE_FALSE(one.has_value());
  CHECK(one.error().message.find("two or more units") != std::string::npos);
  CHECK(one.error().message.find("encoder/h.0.ln_1") != std::string::npos);
}

}  // namespace
}  // namespace longhaul::scheduler
