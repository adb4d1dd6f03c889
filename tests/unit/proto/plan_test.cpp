// Claims about plans, and properties of what follows from them on random DAGs.
#include "proto/plan.hpp"

#include "tests/unit/sample_graphs.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <tuple>

namespace longhaul::proto {
namespace {

Graph gpt2() { return Graph::from_wire(tests::gpt2_graph({})).value(); }

// Splits the operators at the given places; every stage on its own node, all with data.
wire::Plan split(const Graph& graph, const std::vector<std::uint32_t>& cuts) {
  wire::Plan plan;
  plan.set_epoch(3);
  plan.set_schedule("1f1b");
  plan.set_micro_batches(4);
  plan.set_micro_batch_size(2);
  std::size_t next = 0;
  for (std::uint32_t i = 0; i < graph.operators.size(); ++i) {
    if (i == 0 || (next < cuts.size() && cuts[next] == i)) {
      next += i == 0 ? 0 : 1;
      wire::Stage& stage = *plan.add_stages();
      stage.set_node("node" + std::to_string(plan.stages_size()));
      stage.set_device("cpu");
      stage.set_threads(1);
      stage.set_has_data(true);
    }
    plan.mutable_stages(plan.stages_size() - 1)->add_operators(graph.operators[i].id);
  }
  return plan;
}

std::string refusal(const wire::Plan& message, const Graph& graph) {
  const auto plan = Plan::from_wire(message, graph);
  if (plan) return "accepted";
  CHECK(plan.error().kind == ErrorKind::kConfiguration);
  return plan.error().message;
}

TEST_CASE("plan: reads back as it was written") {
  const Graph graph = gpt2();
  const wire::Plan message = split(graph, {10, 20});
  const auto plan = Plan::from_wire(message, graph);
  REQUIRE(plan.has_value());
  CHECK(plan->epoch == PlanEpoch{3});
  CHECK(plan->schedule == ScheduleKind::kOneForwardOneBackward);
  CHECK(plan->last_stage() == StageIndex{2});
  CHECK(plan->stage_of(OperatorIndex{9}) == StageIndex{0});
  CHECK(plan->stage_of(OperatorIndex{10}) == StageIndex{1});
  CHECK(plan->to_wire(graph).SerializeAsString() == message.SerializeAsString());
}

TEST_CASE("plan: every operator is placed exactly once") {
  const Graph graph = gpt2();
  wire::Plan missing = split(graph, {10});
  missing.mutable_stages(1)->mutable_operators()->RemoveLast();
  CHECK(refusal(missing, graph) == "plan: operator 'loss' is on no stage");
  wire::Plan twice = split(graph, {10});
  twice.mutable_stages(1)->add_operators("wte");
  CHECK(refusal(twice, graph) == "plan: operator 'wte' is placed twice");
  wire::Plan unknown = split(graph, {10});
  unknown.mutable_stages(0)->add_operators("nobody");
  CHECK(refusal(unknown, graph) ==
        "plan: stage 0 names 'nobody', which is no operator of the graph");
  wire::Plan empty = split(graph, {10});
  *empty.add_stages() = empty.stages(0);
  empty.mutable_stages(2)->clear_operators();
  CHECK(refusal(empty, graph) == "plan: stage 2 has no operators");
}

TEST_CASE("plan: no value flows to an earlier stage") {
  const Graph graph = gpt2();
  wire::Plan plan = split(graph, {10});
  std::swap(*plan.mutable_stages(0)->mutable_operators(9),
            *plan.mutable_stages(1)->mutable_operators(0));
  CHECK(refusal(plan, graph).find("of the later stage 1") != std::string::npos);
}

TEST_CASE("plan: a stage that needs data has it or follows one that has") {
  const Graph graph = gpt2();
  wire::Plan none = split(graph, {10});
  for (wire::Stage& stage : *none.mutable_stages()) stage.set_has_data(false);
  CHECK(refusal(none, graph) == "plan: no stage has data");
  wire::Plan late = split(graph, {10});
  late.mutable_stages(0)->set_has_data(false);
  CHECK(refusal(late, graph) ==
        "plan: operator 'wte' on stage 0 needs 'tokens', and no stage up to there has data");
  wire::Plan sent = split(graph, {10});
  sent.mutable_stages(1)->set_has_data(false);
  CHECK(refusal(sent, graph) == "accepted");
}

TEST_CASE("plan: devices, threads, schedule and counts are checked") {
  const Graph graph = gpt2();
  const auto changed = [&](auto change) {
    wire::Plan plan = split(graph, {10});
    change(plan);
    return refusal(plan, graph);
  };
  for (const char* device : {"cpu", "cuda:0", "cuda:15"}) {
    CAPTURE(device);
    CHECK(changed([&](auto& p) { p.mutable_stages(0)->set_device(device); }) == "accepted");
  }
  for (const char* device : {"", "cuda", "cuda:", "cuda:-1", "cuda:0 ", "cuda:999", "gpu:0"}) {
    CAPTURE(device);
    CHECK(changed([&](auto& p) {
            p.mutable_stages(0)->set_device(device);
          }).find("use \"cpu\" or \"cuda:N\"") != std::string::npos);
  }
  CHECK(changed([](auto& p) { p.mutable_stages(0)->set_threads(0); }) ==
        "plan: stage 0 has 0 threads; 1 to 4096 are allowed");
  CHECK(changed([](auto& p) { p.set_schedule("2f2b"); }) ==
        "plan: unknown schedule '2f2b'; use \"gpipe\", \"1f1b\" or \"zero-bubble\"");
  CHECK(changed([](auto& p) { p.set_micro_batches(0); }).find("0 micro-batches") !=
        std::string::npos);
  CHECK(changed([](auto& p) { p.set_micro_batch_size(0); }).find("of 0 sequences") !=
        std::string::npos);
  CHECK(changed([](auto& p) { p.clear_stages(); }).find("0 stages") != std::string::npos);
  CHECK(changed([](auto& p) { p.mutable_stages(0)->clear_node(); }) == "plan: node without a name");
}

TEST_CASE("plan: a value goes once to each stage that reads it") {
  const Graph graph = gpt2();
  // The residual stream of block 0 crosses into stage 1, which reads it twice (ln_2 and add_2).
  const std::uint32_t add = graph.find_operator("h.0.add_1")->value;
  const Plan plan = Plan::from_wire(split(graph, {add + 1}), graph).value();
  const std::vector<Boundary> expected{
      {graph.value_of(OperatorIndex{add}), StageIndex{0}, StageIndex{1}, false}};
  CHECK(boundaries(graph, plan) == expected);
}

TEST_CASE("plan: data for a stage without it comes from the first stage that has it") {
  const Graph graph = gpt2();
  wire::Plan message = split(graph, {10, 20});
  message.mutable_stages(2)->set_has_data(false);
  const Plan plan = Plan::from_wire(message, graph).value();
  const Boundary targets{ValueIndex{1}, StageIndex{0}, StageIndex{2}, true};
  CHECK(boundaries(graph, plan).front() == targets);
}

TEST_CASE("plan: a parameter on two stages is tied, on one stage it is not") {
  const Graph graph = gpt2();
  const Plan two = Plan::from_wire(split(graph, {10}), graph).value();
  const std::vector<TiedParameter> expected{
      {*graph.find_parameter("wte.weight"), {StageIndex{0}, StageIndex{1}}}};
  CHECK(tied_parameters(graph, two) == expected);
  const Plan one = Plan::from_wire(split(graph, {}), graph).value();
  CHECK(tied_parameters(graph, one).empty());
  CHECK(stage_parameters(graph, one, StageIndex{0}).size() == graph.parameters.size());
}

// Assigns operators to stages at random, never before what they read.
Plan random_plan(const Graph& graph, std::uint32_t stages, std::mt19937_64& random) {
  Plan plan;
  plan.epoch = PlanEpoch{1};
  plan.micro_batches = 1;
  plan.micro_batch_size = 1;
  plan.stages.resize(stages);
  std::vector<std::uint32_t> stage_of(graph.operators.size());
  for (std::uint32_t i = 0; i < graph.operators.size(); ++i) {
    std::uint32_t earliest = 0;
    for (const ValueIndex input : graph.operators[i].inputs) {
      if (!graph.is_data_input(input)) {
        earliest = std::max(earliest, stage_of[graph.operator_of(input).value]);
      }
    }
    stage_of[i] = earliest + (random() % 4 == 0 && earliest + 1 < stages ? 1 : 0);
    plan.stages[stage_of[i]].operators.push_back(OperatorIndex{i});
  }
  std::erase_if(plan.stages, [](const Stage& stage) { return stage.operators.empty(); });
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    plan.stages[s].node = "node" + std::to_string(s);
    plan.stages[s].device = "cpu";
    plan.stages[s].has_data = s == 0 || random() % 2 == 0;
  }
  return plan;
}

TEST_CASE("plan: on random DAGs boundaries are exactly the edges between stages") {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const Graph graph = Graph::from_wire(tests::random_graph(seed, 20)).value();
    const Plan drawn = random_plan(graph, 1 + static_cast<std::uint32_t>(random() % 5), random);
    const auto plan = Plan::from_wire(drawn.to_wire(graph), graph);
    REQUIRE_MESSAGE(plan.has_value(), plan.error().message);

    using Key = std::tuple<ValueIndex, StageIndex, StageIndex, bool>;
    std::set<Key> edges;
    std::map<ParameterIndex, std::set<StageIndex>> users;
    for (std::uint32_t i = 0; i < graph.operators.size(); ++i) {
      const StageIndex to = plan->stage_of(OperatorIndex{i});
      for (const ParameterIndex parameter : graph.operators[i].parameters) {
        users[parameter].insert(to);
      }
      for (const ValueIndex input : graph.operators[i].inputs) {
        if (graph.is_data_input(input)) {
          if (!plan->stages[to.value].has_data) edges.emplace(input, StageIndex{0}, to, true);
          continue;
        }
        const StageIndex from = plan->stage_of(graph.operator_of(input));
        CHECK(from <= to);
        if (from != to) edges.emplace(input, from, to, false);
      }
    }
    const std::vector<Boundary> crossing = boundaries(graph, *plan);
    REQUIRE(crossing.size() == edges.size());
    auto edge = edges.begin();  // a set of (value, from, ...): one `from` per value
    for (const Boundary& boundary : crossing) {
      CHECK(Key{boundary.value, boundary.from, boundary.to, boundary.data} == *edge++);
    }
    std::size_t tied = 0;
    for (const auto& [parameter, stages] : users) tied += stages.size() > 1 ? 1 : 0;
    CHECK(tied_parameters(graph, *plan).size() == tied);
    for (const TiedParameter& parameter : tied_parameters(graph, *plan)) {
      CHECK(std::set(parameter.stages.begin(), parameter.stages.end()) ==
            users[parameter.parameter]);
    }
  }
}

}  // namespace
}  // namespace longhaul::proto
