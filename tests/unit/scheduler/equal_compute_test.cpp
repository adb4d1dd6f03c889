// Claims about plans of equal shares.
#include "scheduler/equal_compute.hpp"

#include "scheduler/memory_estimate.hpp"
#include "scheduler/operator_costs.hpp"
#include "tests/unit/sample_graphs.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>

namespace longhaul::scheduler {
namespace {

using proto::Graph;
using proto::Plan;

constexpr std::uint64_t kPlenty = std::numeric_limits<std::uint64_t>::max();

std::vector<Candidate> nodes(std::size_t count, std::uint64_t memory_bytes = kPlenty) {
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < count; ++i) {
    candidates.push_back({.node = std::string(1, static_cast<char>('a' + i)),
                          .device = "cpu",
                          .threads = 1,
                          .memory_bytes = memory_bytes,
                          .has_data = true});
  }
  return candidates;
}

EqualComputeOptions options() {
  return {.binding = {2, 16}, .micro_batches = 4, .epoch = proto::PlanEpoch{7}};
}

Graph gpt2(std::int64_t layers = 8) {
  return Graph::from_wire(tests::gpt2_graph({.layers = layers, .width = 64, .heads = 4})).value();
}

std::string refusal(const proto::Result<Plan>& plan, proto::ErrorKind kind) {
  if (plan) return "accepted";
  CHECK(plan.error().kind == kind);
  CHECK(plan.error().message.find('\n') == std::string::npos);
  return plan.error().message;
}

TEST_CASE("equal compute: stages follow the candidates, the options go into the plan") {
  const Graph graph = gpt2();
  const auto plan = equal_compute(graph, nodes(4), options());
  REQUIRE(plan.has_value());
  REQUIRE(plan->stages.size() == 4);
  CHECK(plan->stages[2].node == "c");
  CHECK(plan->epoch == proto::PlanEpoch{7});
  CHECK(plan->micro_batches == 4);
  CHECK(plan->micro_batch_size == 2);
  CHECK(plan->schedule == proto::ScheduleKind::kOneForwardOneBackward);
  CHECK(Plan::from_wire(plan->to_wire(graph), graph).has_value());
}

TEST_CASE("equal compute: GPT-2 is cut between blocks, where one tensor crosses") {
  const Graph graph = gpt2();
  const auto plan = equal_compute(graph, nodes(4), options());
  REQUIRE(plan.has_value());
  for (std::size_t s = 1; s < plan->stages.size(); ++s) {
    CAPTURE(s);
    CHECK(graph.operators[plan->stages[s].operators.front().value].id ==
          "h." + std::to_string(2 * s) + ".ln_1");
  }
  CHECK(proto::boundaries(graph, *plan).size() == 3);
}

TEST_CASE("equal compute: the first node with data comes first, the others keep their order") {
  std::vector<Candidate> candidates = nodes(4);
  candidates[0].has_data = candidates[1].has_data = candidates[3].has_data = false;
  const Graph graph = gpt2();
  const auto plan = equal_compute(graph, candidates, options());
  REQUIRE(plan.has_value());
  std::string order;
  for (const proto::Stage& stage : plan->stages) order += stage.node;
  CHECK(order == "cabd");
  const proto::Boundary targets{proto::ValueIndex{1}, proto::StageIndex{0}, proto::StageIndex{3},
                                true};
  CHECK(proto::boundaries(graph, *plan).front() == targets);
}

TEST_CASE("equal compute: no node, no data, or more nodes than operators is refused") {
  using enum proto::ErrorKind;
  const Graph graph = gpt2(1);
  CHECK(refusal(equal_compute(graph, {}, options()), kConfiguration) ==
        "there is no node to plan for");
  CHECK(refusal(equal_compute(graph, nodes(19), options()), kConfiguration) ==
        "19 nodes for a graph of 18 operators; use at most 18 nodes");
  CHECK(equal_compute(graph, nodes(18), options()).has_value());
  std::vector<Candidate> blind = nodes(2);
  for (Candidate& candidate : blind) candidate.has_data = false;
  CHECK(refusal(equal_compute(graph, blind, options()), kConfiguration)
            .find("none of the nodes has the job's data") == 0);
  EqualComputeOptions long_sequence = options();
  long_sequence.binding.sequence = 17;
  CHECK(refusal(equal_compute(graph, nodes(2), long_sequence), kConfiguration)
            .find("operator 'wpe'") == 0);
}

TEST_CASE("equal compute: a stage that does not fit names need, capacity and ways out") {
  const Graph graph = gpt2();
  std::vector<Candidate> candidates = nodes(2);
  candidates[1].memory_bytes = 1 << 20;
  const std::string message =
      refusal(equal_compute(graph, candidates, options()), proto::ErrorKind::kResource);
  CHECK(message.find("stage 1 (operators 'h.4.ln_1' to 'loss') needs ") == 0);
  CHECK(message.find("device 'cpu' of node 'b' has 1.0 MiB: parameters 7") != std::string::npos);
  for (const char* part : {"gradients", "optimizer", "activations", "workspace", "boundary",
                           "use more nodes", "micro_batch", "sequence_length"}) {
    CAPTURE(part);
    CHECK(message.find(part) != std::string::npos);
  }
  CHECK(message.find("1f1b") == std::string::npos);
  CHECK(message.find("bf16") == std::string::npos);  // a copy of the weights is more than it saves
}

TEST_CASE("equal compute: a schedule that holds more than 1f1b is told that 1f1b holds less") {
  const Graph graph = gpt2();
  for (const auto schedule : proto::kScheduleKinds) {
    CAPTURE(proto::schedule_name(schedule));
    EqualComputeOptions many = options();
    many.micro_batches = 16;
    many.schedule = schedule;
    for (std::size_t s = 0; s < 2; ++s) {
      std::vector<Candidate> candidates = nodes(2);
      candidates[s].memory_bytes = 1 << 20;
      const std::string message =
          refusal(equal_compute(graph, candidates, many), proto::ErrorKind::kResource);
      const bool holds_more = schedule == proto::ScheduleKind::kGpipe ||
                              (schedule == proto::ScheduleKind::kZeroBubble && s > 0);
      CHECK((message.find("pipeline.schedule 1f1b") != std::string::npos) == holds_more);
    }
  }
}

TEST_CASE("equal compute: what the estimate says fits is exactly what is accepted") {
  const Graph graph = gpt2();
  const Plan plan = equal_compute(graph, nodes(2), options()).value();
  const auto shapes = proto::infer_shapes(graph, options().binding).value();
  std::vector<Candidate> candidates = nodes(2);
  for (std::uint32_t s = 0; s < 2; ++s) {
    candidates[s].memory_bytes =
        estimate_memory(graph, plan, proto::StageIndex{s}, shapes, {proto::Precision::kFp32})
            .total();
  }
  CHECK(equal_compute(graph, candidates, options()).has_value());
  --candidates[1].memory_bytes;
  CHECK(equal_compute(graph, candidates, options()).has_error());
}

TEST_CASE("equal compute: on random DAGs every plan is valid and near the best split") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const Graph graph = Graph::from_wire(tests::random_graph(seed, 20)).value();
    std::vector<Candidate> candidates = nodes(1 + random() % 6);
    for (Candidate& candidate : candidates) candidate.has_data = random() % 2 == 0;
    candidates[random() % candidates.size()].has_data = true;
    const auto plan = equal_compute(graph, candidates, options());
    REQUIRE_MESSAGE(plan.has_value(), plan.error().message);
    const auto read = Plan::from_wire(plan->to_wire(graph), graph);
    REQUIRE_MESSAGE(read.has_value(), read.error().message);
    CHECK(plan->stages.front().has_data);

    const auto shapes = proto::infer_shapes(graph, options().binding).value();
    std::vector<double> parts;
    double largest_operator = 0;
    for (const proto::Stage& stage : plan->stages) {
      parts.push_back(0);
      for (const proto::OperatorIndex op : stage.operators) {
        const double flops = operator_costs(graph, op, shapes, {proto::Precision::kFp32}).flops();
        parts.back() += flops;
        largest_operator = std::max(largest_operator, flops);
      }
    }
    const double total = std::accumulate(parts.begin(), parts.end(), 0.0);
    const double even = total / static_cast<double>(parts.size());
    CHECK(*std::max_element(parts.begin(), parts.end()) <= 1.03 * (even + largest_operator));
  }
}

}  // namespace
}  // namespace longhaul::scheduler
