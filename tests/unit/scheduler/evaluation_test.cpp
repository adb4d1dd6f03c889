// Fleets, workloads, the work of a placement, its cost, and the validator.
#include "scheduler/planners/evaluation.hpp"

#include "scheduler/simulator/uncontended_step.hpp"
#include "scheduler/workload_from_graph.hpp"
#include "tests/unit/sample_graphs.hpp"
#include "tests/unit/scheduler/random_problems.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <random>

using namespace longhaul;
using namespace longhaul::scheduler;
using longhaul::tests::plain_problem;

namespace {

PlacedPipeline placed_at(const PlanningProblem& problem, const std::vector<std::size_t>& ends) {
  PlacedPipeline placed;
  placed.schedule = problem.schedules[0];
  std::size_t first = 0;
  for (std::size_t s = 0; s < ends.size(); ++s) {
    placed.stages.push_back({.device = s, .first = first, .end = ends[s]});
    first = ends[s];
  }
  choose_codecs(problem, placed);
  return placed;
}

std::string only_violation(const PlanningProblem& problem, const PlacedPipeline& placed,
                           Violation::Kind kind) {
  const auto found = check_placement(problem, placed);
  REQUIRE(found.size() == 1);
  CHECK(found[0].kind == kind);
  return found[0].message;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string fleet_error(const std::function<void(Fleet&)>& change) {
  Fleet fleet = plain_problem(4, 2).fleet;
  change(fleet);
  const auto checked = check_fleet(fleet);
  return checked ? "no error" : checked.error().message;
}

std::string workload_error(const std::function<void(Workload&)>& change) {
  Workload workload = plain_problem(4, 2).workloads[0];
  change(workload);
  const auto checked = check_workload(workload);
  return checked ? "no error" : checked.error().message;
}

}  // namespace

TEST_CASE("check_fleet: says what is wrong and where") {
  CHECK(fleet_error([](Fleet&) {}) == "no error");
  CHECK(has(fleet_error([](Fleet& f) { f.between_sites[0].bytes_per_s = -1.0; }),
            "path from site 'here' to site 'here': a bandwidth that is not positive"));
  CHECK(has(fleet_error([](Fleet& f) {
              f.sites.push_back({.name = "empty"});
              f.between_sites.resize(4);
            }),
            "site 'empty': it has no host"));
  CHECK(has(fleet_error([](Fleet& f) { f.between_sites.clear(); }), "0 paths between 1 sites"));
  CHECK(has(fleet_error([](Fleet& f) { f.devices[1].node = "node0"; }), "two devices are called"));
  CHECK(has(fleet_error([](Fleet& f) { f.devices[1].host = 9; }), "a host that is not there"));
  CHECK(has(fleet_error([](Fleet& f) { f.devices[1].speed = 0.0; }), "speed must be positive"));
  CHECK(has(fleet_error([](Fleet& f) { f.devices.clear(); }), "without a device"));
  CHECK(has(fleet_error([](Fleet& f) {
              f.between_hosts[{0, 1}].delay_s = -1.0;
            }),
            "path from host 'host0' to host 'host1'"));
}

TEST_CASE("check_workload: names the operator and what is wrong") {
  CHECK(workload_error([](Workload&) {}) == "no error");
  CHECK(has(workload_error([](Workload& w) { w.operators[2].inputs = {2}; }),
            "operator 'op2': an input that does not come before it"));
  CHECK(has(workload_error([](Workload& w) { w.operators[1].state_bytes = -2.0; }),
            "operator 'op1': state bytes of -2"));
  CHECK(has(workload_error([](Workload& w) { w.times[0].pop_back(); }), "operator 'op3' has none"));
  CHECK(has(workload_error([](Workload& w) { w.times[0][1].forward_s = -1.0; }),
            "the time of operator 'op1'"));
  CHECK(has(workload_error([](Workload& w) { w.operators[1].id = "op0"; }), "two operators"));
  CHECK(has(workload_error([](Workload& w) { w.ties = {{.operators = {1, 1}}}; }), "tied"));
}

TEST_CASE("workload: what crosses a cut is what was made before and is read after it") {
  Workload workload = plain_problem(5, 1, 1.0, 3.0).workloads[0];
  workload.operators[4].inputs = {3, 0};
  workload.operators[0].output_bytes = 10.0;
  CHECK(workload.cut_bytes() == std::vector<double>{0.0, 10.0, 13.0, 13.0, 13.0});
}

TEST_CASE("work_of: times, messages, memory and ties of a placement") {
  PlanningProblem problem = plain_problem(6, 3, 1.0, 8.0);
  Workload& workload = problem.workloads[0];
  workload.operators[5].inputs = {4, 0};  // a skip from the first to the last stage
  workload.operators[3].inputs = {2, 0};
  workload.ties = {{.operators = {0, 1, 5}, .bytes = 7.0, .shared_state_bytes = 40.0}};
  problem.fleet.devices[1].speed = 0.5;
  const PlacedPipeline placed = placed_at(problem, {2, 4, 6});
  CHECK(check_placement(problem, placed).empty());
  const PipelineWork work = work_of(problem, placed);
  REQUIRE(problem_of(work).empty());
  CHECK(work.micro_batches == 8);
  CHECK(work.stages[0].times[0].forward_s == doctest::Approx(2.0));
  CHECK(work.stages[1].times[0].weight_gradient_s == doctest::Approx(4.0));
  // Stage 0 sends its last value and the skipped one to stage 1, the skipped one to stage 2.
  REQUIRE(work.transfers.size() == 6);
  CHECK(work.transfers[0].to == 1);
  CHECK(work.transfers[0].bytes[0] == doctest::Approx(16.0));
  CHECK(work.transfers[1].backward);
  CHECK(work.transfers[2].to == 2);
  CHECK(work.transfers[2].bytes[0] == doctest::Approx(8.0));
  // Operators 0 and 1 hold the tied parameter once.
  CHECK(work.stages[0].memory.resident == doctest::Approx(200.0 - 40.0 + 2 * 24.0));
  CHECK(work.stages[0].memory.saved == doctest::Approx(20.0));
  CHECK(work.stages[0].memory.backward_peak == doctest::Approx(25.0));
  REQUIRE(work.tied.size() == 1);
  CHECK(work.tied[0].stages == std::vector<std::size_t>{0, 2});
  CHECK(work.stages[0].memory.exchange == doctest::Approx(7.0 * 2));
  CHECK(work.stages[2].memory.exchange == doctest::Approx(7.0 * 2));
  CHECK(work.between.size() == 9);
}

TEST_CASE("work_of: cpus of one host share its processors, and sites their path") {
  PlanningProblem problem = plain_problem(4, 4, 1.0, 8.0);
  Fleet& fleet = problem.fleet;
  fleet.sites.push_back({.name = "there"});
  fleet.between_sites.assign(4, {.delay_s = 0.5, .bytes_per_s = 4.0, .per_message_s = 0.25});
  fleet.hosts[0].processors = 2.0;
  fleet.devices[1].host = 0;
  fleet.devices[1].threads = 2;
  fleet.hosts[2].site = fleet.hosts[1].site = 1;
  fleet.devices[3].device = "cuda:0";
  const PipelineWork work = work_of(problem, placed_at(problem, {1, 2, 3, 4}));
  CHECK(work.stages[0].host == work.stages[1].host);
  CHECK(work.hosts[work.stages[0].host].processors == 2.0);
  CHECK(work.stages[1].threads == 2.0);
  CHECK(work.hosts[work.stages[3].host].processors == kUnlimited);
  // From site 0 to 1 between stages 1 and 2, and back between 2 and 3.
  const auto path = [&](std::size_t from, std::size_t to) {
    const auto found = std::ranges::find_if(
        work.transfers, [&](const TransferWork& t) { return t.from == from && t.to == to; });
    REQUIRE(found != work.transfers.end());
    return found->path;
  };
  CHECK(path(1, 2) == path(3, 2));
  CHECK(path(2, 1) == path(2, 3));
  CHECK(path(1, 2) != path(2, 1));
  CHECK(work.paths[path(1, 2)].bytes_per_s == 4.0);
  CHECK(work.paths[path(0, 1)].bytes_per_s == kUnlimited);
}

TEST_CASE("cost_of: hours, egress, tokens and MFU") {
  PlanningProblem problem = plain_problem(4, 2, 1.0, 100.0);
  Fleet& fleet = problem.fleet;
  fleet.sites.push_back({.name = "there", .egress_price_per_byte = 0.5});
  fleet.between_sites.assign(4, {});
  fleet.hosts[1].site = 1;
  for (FleetDevice& device : fleet.devices) {
    device.price_per_hour = 360.0;
    device.peak_flops_per_s = 2.0;
  }
  problem.codecs = {{.name = "dense"}, {.name = "half", .ratio = 0.5}};
  PlacedPipeline placed = placed_at(problem, {2, 4});
  CHECK(placed.codecs[0].forward == 0);
  placed.codecs[0].backward = 1;
  Simulation outcome;
  outcome.step_s = 10.0;
  const PlanCost cost = cost_of(problem, placed, outcome);
  CHECK(cost.egress_bytes == std::vector<double>{800.0, 400.0});
  CHECK(cost.cost_per_step == doctest::Approx(2 * 360.0 * 10.0 / 3600.0 + 0.5 * 400.0));
  CHECK(cost.cost_per_token == doctest::Approx(cost.cost_per_step / 80.0));
  CHECK(cost.tokens_per_s == doctest::Approx(8.0));
  CHECK(cost.mfu == doctest::Approx(4.0 * 8.0 / (10.0 * 4.0)));
  CHECK(cost.score == doctest::Approx(10.0));
  problem.objective = Objective::kCostPerToken;
  CHECK(cost_of(problem, placed, outcome).score == doctest::Approx(cost.cost_per_token));
}

TEST_CASE("choose_codecs: the mildest that computation hides, else the fastest") {
  PlanningProblem problem = plain_problem(2, 2, 1.0, 1000.0);
  problem.batch = 1000;
  problem.run_ahead = {8};
  problem.codecs = {
      {.name = "dense"}, {.name = "quarter", .ratio = 0.25}, {.name = "least", .ratio = 0.01}};
  const auto chosen = [&](double bytes_per_s) {
    problem.fleet.between_sites = {{.delay_s = 0.0, .bytes_per_s = bytes_per_s}};
    PlacedPipeline placed = placed_at(problem, {1, 2});
    placed.run_ahead = 8;
    choose_codecs(problem, placed);
    return placed.codecs[0].forward;
  };
  CHECK(chosen(1e6) == 0);    // 1 ms of 2.7 s
  CHECK(chosen(200.0) == 1);  // 5 s, 1.25 s
  CHECK(chosen(20.0) == 2);   // 12.5 s, 0.5 s
  CHECK(chosen(0.5) == 2);    // none is hidden
}

TEST_CASE("check_placement: says which constraint fails and by how much") {
  PlanningProblem problem = plain_problem(4, 2, 1.0, 10.0);
  const PlacedPipeline good = placed_at(problem, {2, 4});
  CHECK(check_placement(problem, good).empty());

  using Kind = Violation::Kind;
  PlacedPipeline bad = good;
  bad.stages[1].device = 0;
  CHECK(has(only_violation(problem, bad, Kind::kPlacement), "another stage has"));
  bad = good;
  bad.stages[1].end = 3;
  CHECK(has(only_violation(problem, bad, Kind::kPlacement), "3 of 4 operators are placed"));
  bad = good;
  bad.stages[1].first = 1;
  CHECK(has(only_violation(problem, bad, Kind::kPlacement), "it must begin at 2"));
  bad = good;
  bad.run_ahead = 5;
  CHECK(has(only_violation(problem, bad, Kind::kPlacement), "run_ahead 5"));

  PlanningProblem changed = problem;
  changed.constraints.excluded_nodes = {"node1"};
  CHECK(has(only_violation(changed, good, Kind::kExcluded), "'node1', which is excluded"));
  changed = problem;
  changed.constraints.pins = {{"op3", "node0"}};
  CHECK(has(only_violation(changed, good, Kind::kPin), "operator 'op3' must be on node"));
  changed = problem;
  changed.fleet.devices[0].has_data = false;
  changed.workloads[0].operators[0].needs_data = true;
  CHECK(has(only_violation(changed, good, Kind::kData), "needs data for operator 'op0'"));
  changed = problem;
  changed.fleet.devices[0].memory_bytes = 250;
  // 200 of state, 20 of boundaries, two micro-batches of 20, 5 of workspace.
  const std::string message = only_violation(changed, good, Kind::kMemory);
  CHECK(has(message, "needs 265 B"));
  CHECK(has(message, "which has 250 B"));
  CHECK(has(message, "15 B more memory there"));
}

TEST_CASE("check_placement: data may come from an earlier stage, but not leave its site") {
  PlanningProblem problem = plain_problem(4, 2, 1.0, 10.0);
  problem.workloads[0].operators[0].needs_data = true;
  problem.workloads[0].operators[3].needs_data = true;
  problem.fleet.devices[1].has_data = false;
  const PlacedPipeline placed = placed_at(problem, {2, 4});
  CHECK(check_placement(problem, placed).empty());
  problem.constraints.data_stays = true;
  CHECK(check_placement(problem, placed).empty());
  problem.fleet.sites.push_back({.name = "there"});
  problem.fleet.between_sites.assign(4, {});
  problem.fleet.hosts[1].site = 1;
  CHECK(has(only_violation(problem, placed, Violation::Kind::kData), "at its site"));
}

TEST_CASE("check_placement: egress caps and the deadline are of the simulated step") {
  PlanningProblem problem = plain_problem(4, 2, 1.0, 1e6);
  problem.fleet.sites.push_back({.name = "there"});
  problem.fleet.between_sites.assign(4, {});
  problem.fleet.hosts[1].site = 1;
  const PlacedPipeline placed = placed_at(problem, {2, 4});
  const double step_s = simulated_cost(problem, placed).step_s;
  problem.fleet.sites[1].egress_bytes_per_hour = 8e6 / step_s * 3600.0 * 1.001;
  CHECK(check_placement(problem, placed).empty());
  problem.fleet.sites[1].egress_bytes_per_hour *= 0.5;
  CHECK(has(only_violation(problem, placed, Violation::Kind::kEgress), "site 'there'"));
  problem.fleet.sites[1].egress_bytes_per_hour = 1e18;
  problem.objective = Objective::kCostUnderDeadline;
  problem.deadline_s = 0.9 * step_s;
  CHECK(has(only_violation(problem, placed, Violation::Kind::kDeadline), "too long"));
}

TEST_CASE("uncontended step: the simulator's where nothing is shared, else a lower bound") {
  ScheduleBook book;
  UncontendedStep uncontended(book);
  int exact = 0;
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    CAPTURE(seed);
    const PlanningProblem problem = tests::random_problem(seed);
    std::mt19937_64 random(seed);
    const std::size_t operators = problem.workloads[0].operators.size();
    std::vector<std::size_t> ends;
    const std::size_t stages = 1 + random() % problem.fleet.devices.size();
    while (ends.size() + 1 < std::min(stages, operators)) {
      const std::size_t end = 1 + random() % (operators - 1);
      if (std::ranges::find(ends, end) == ends.end()) ends.push_back(end);
    }
    std::ranges::sort(ends);
    ends.push_back(operators);
    PlacedPipeline placed = placed_at(problem, ends);
    placed.schedule = problem.schedules[seed % 2];
    placed.run_ahead = problem.run_ahead.back();
    const PipelineWork work = work_of(problem, placed);
    REQUIRE(problem_of(work) == "");
    const double simulated_s = simulate(work).step_s;
    const UncontendedTime quick = uncontended.time(work);
    CHECK(quick.step_s <= simulated_s * (1.0 + 1e-9));
    if (!quick.exact) continue;
    ++exact;
    CHECK(quick.step_s == doctest::Approx(simulated_s).epsilon(1e-9));
  }
  CHECK(exact > 40);
}

TEST_CASE("quick_step_s: FusionLLM's sum and largest part") {
  PlanningProblem problem = plain_problem(4, 2, 1.0, 10.0);
  problem.fleet.between_sites = {{.delay_s = 1.0, .bytes_per_s = 10.0}};
  // Two stages of 6 s, two transfers of 2 s, seven more micro-batches at 6 s.
  CHECK(quick_step_s(problem, placed_at(problem, {2, 4})) == doctest::Approx(16.0 + 7 * 6.0));
}

TEST_CASE("workload_from_graph: FLOPs over rate, bytes over bandwidth for cheap operators") {
  const auto graph = proto::Graph::from_wire(tests::gpt2_graph({.layers = 2, .dropout = 0.0}));
  REQUIRE(graph.has_value());
  GraphWorkloadOptions options;
  options.binding = {.batch = 2, .sequence = 16};
  options.kinds = {
      {.name = "a", .flops_per_s = 1e9, .efficiency = 0.5, .memory_bytes_per_s = 1e15},
      {.name = "b", .flops_per_s = 1e18, .efficiency = 1.0, .memory_bytes_per_s = 1e6}};
  const auto workload = workload_from_graph(*graph, options);
  REQUIRE(workload.has_value());
  CHECK(check_workload(*workload).has_value());
  CHECK(workload->operators.size() == graph->operators.size());
  CHECK(workload->tokens_per_micro_batch == 32.0);
  double flops = 0.0;
  double seconds = 0.0;
  for (std::size_t i = 0; i < workload->operators.size(); ++i) {
    flops += workload->operators[i].flops;
    seconds += workload->times[0][i].sum();
  }
  CHECK(seconds == doctest::Approx(flops / 5e8));
  const auto add = std::ranges::find_if(graph->operators, [](const proto::Operator& op) {
    return op.kind == proto::OperatorKind::kAdd;
  });
  REQUIRE(add != graph->operators.end());
  const auto place = static_cast<std::size_t>(add - graph->operators.begin());
  // Two inputs and an output of 2 x 16 x 8 floats.
  CHECK(workload->times[1][place].forward_s == doctest::Approx(3 * 1024 / 1e6));
  REQUIRE(workload->ties.size() == 1);
  CHECK(workload->ties[0].operators.size() == 2);
  CHECK(workload->ties[0].bytes == 4.0 * 17 * 8);
  CHECK(workload->operators.front().needs_data);
  options.kinds.clear();
  CHECK(!workload_from_graph(*graph, options).has_value());
}
