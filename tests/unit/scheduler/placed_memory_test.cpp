// Claims about which plans fit: the validator and the worker's admission agree.
#include "scheduler/planners/placed_memory.hpp"

#include "scheduler/planners/evaluation.hpp"
#include "scheduler/workload_from_graph.hpp"
#include "tests/unit/sample_graphs.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

namespace longhaul::scheduler {
namespace {

using proto::Graph;
using proto::ScheduleKind;

constexpr std::int64_t kSequence = 8;

struct Case {
  Graph graph;
  PlanningProblem problem;
  MemoryOptions memory;
};

// Devices with all the memory that there is, some without data.
Case random_case(std::uint64_t seed) {
  std::mt19937_64 random(seed * 31 + 5);
  const bool transformer = seed % 3 == 0;
  Case made{.graph = Graph::from_wire(
                         transformer ? tests::gpt2_graph({.layers = 3, .width = 16})
                                     : tests::random_graph(seed, 10 + static_cast<int>(seed % 15)))
                         .value(),
            .problem = {},
            .memory = {}};
  made.memory = {.precision = seed % 2 == 0 ? proto::Precision::kFp32 : proto::Precision::kBf16};
  PlanningProblem& problem = made.problem;
  for (const std::int64_t batch : {1, 2}) {
    problem.workloads.push_back(
        workload_from_graph(
            made.graph, {.binding = {.batch = batch, .sequence = kSequence},
                         .memory = made.memory,
                         .kinds = {{.name = "k", .flops_per_s = 1e9, .memory_bytes_per_s = 1e9}}})
            .value());
  }
  problem.batch = 8;
  problem.schedules = {ScheduleKind::kOneForwardOneBackward, ScheduleKind::kGpipe,
                       ScheduleKind::kZeroBubble};
  problem.run_ahead = {0, 2};
  problem.fleet.sites = {{.name = "here"}};
  problem.fleet.between_sites = {{.delay_s = 1e-3, .bytes_per_s = 1e7}};
  for (std::size_t d = 0; d < 2 + seed % 4; ++d) {
    problem.fleet.hosts.push_back({.name = "host" + std::to_string(d)});
    problem.fleet.devices.push_back({.node = "node" + std::to_string(d),
                                     .device = "cuda:0",
                                     .host = d,
                                     .kind = "k",
                                     .memory_bytes = std::uint64_t{1} << 60U,
                                     .has_data = d == 0 || random() % 2 == 0});
  }
  problem.stage_memory =
      placed_memory(made.graph, problem, {.memory = made.memory, .sequence = kSequence});
  return made;
}

PlacedPipeline random_placement(const PlanningProblem& problem, std::mt19937_64& random) {
  const std::size_t operators = problem.workloads[0].operators.size();
  const std::size_t count = std::min(problem.fleet.devices.size(), 1 + random() % operators);
  PlacedPipeline placed;
  placed.workload = random() % problem.workloads.size();
  placed.schedule = problem.schedules[random() % problem.schedules.size()];
  placed.run_ahead = problem.run_ahead[random() % 2];
  std::vector<std::size_t> firsts(operators - 1);
  for (std::size_t i = 0; i + 1 < operators; ++i) firsts[i] = i + 1;
  std::ranges::shuffle(firsts, random);
  firsts.resize(count - 1);
  std::ranges::sort(firsts);
  std::size_t first = 0;
  for (std::size_t s = 0; s < count; ++s) {
    const std::size_t end = s + 1 < count ? firsts[s] : operators;
    placed.stages.push_back({.device = s, .first = first, .end = end});
    first = end;
  }
  return placed;
}

std::uint64_t admitted_bytes(const Case& made, const PlacedPipeline& placed, std::size_t stage) {
  const proto::Plan plan = plan_of(made.problem, placed);
  const auto shapes =
      proto::infer_shapes(made.graph, {.batch = plan.micro_batch_size, .sequence = kSequence});
  return estimate_memory(made.graph, plan, proto::StageIndex{static_cast<std::uint32_t>(stage)},
                         *shapes, made.memory)
      .total();
}

TEST_CASE("placed memory: a plan is refused exactly where the worker would not admit a stage") {
  std::size_t refused = 0;
  std::size_t placements = 0;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    Case made = random_case(seed);
    std::mt19937_64 random(seed);
    for (int i = 0; i < 8; ++i) {
      const PlacedPipeline placed = random_placement(made.problem, random);
      ++placements;
      const std::size_t tight = random() % placed.stages.size();
      for (std::size_t s = 0; s < placed.stages.size(); ++s) {
        made.problem.fleet.devices[s].memory_bytes = admitted_bytes(made, placed, s);
      }
      CHECK(check_placement(made.problem, placed).empty());
      --made.problem.fleet.devices[tight].memory_bytes;  // one byte too little
      const auto found = check_placement(made.problem, placed);
      REQUIRE(found.size() == 1);
      CHECK(found[0].kind == Violation::Kind::kMemory);
      CHECK(found[0].message.find("stage " + std::to_string(tight)) != std::string::npos);
      ++refused;
    }
  }
  CHECK(refused == placements);
}

TEST_CASE("placed memory: every planner's plan is one that the workers admit, and none is missed") {
  std::size_t planned = 0;
  std::size_t beyond_sums = 0;  // plans that the operators' sums refuse
  for (std::uint64_t seed = 1; seed <= 36; ++seed) {
    CAPTURE(seed);
    Case made = random_case(seed);
    PlanningProblem& problem = made.problem;
    problem.workloads.resize(1);
    problem.schedules = {ScheduleKind::kOneForwardOneBackward};
    problem.run_ahead = {0};
    // Memory that just holds an even split.
    for (auto& device : problem.fleet.devices) device.has_data = true;
    const auto even = make_plan(problem, PlannerKind::kEqualCompute).value();
    std::uint64_t most = 0;
    for (std::size_t s = 0; s < even.stages.size(); ++s) {
      most = std::max(most, admitted_bytes(made, even, s));
    }
    for (auto& device : problem.fleet.devices) device.memory_bytes = most;
    PlanningProblem summed = problem;
    summed.stage_memory = nullptr;
    beyond_sums += check_placement(summed, even).empty() ? 0 : 1;
    for (const PlannerKind kind : {PlannerKind::kEqualCompute, PlannerKind::kAuto}) {
      const auto plan = make_plan(problem, kind, {.evaluations = 400});
      REQUIRE_MESSAGE(plan.has_value(), plan.error().message);
      CHECK(check_placement(problem, *plan).empty());
      for (std::size_t s = 0; s < plan->stages.size(); ++s) {
        CHECK(admitted_bytes(made, *plan, s) <= most);
      }
      ++planned;
    }
  }
  CHECK(planned == 72);
  MESSAGE("even splits that the sums would refuse: ", beyond_sums, " of 36");
}

}  // namespace
}  // namespace longhaul::scheduler
