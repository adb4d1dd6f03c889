// Claims about the memory of a stage.
#include "scheduler/memory_estimate.hpp"

#include "proto/saved_values.hpp"
#include "scheduler/memory_walk.hpp"
#include "scheduler/operator_costs.hpp"
#include "tests/unit/sample_graphs.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <random>

namespace longhaul::scheduler {
namespace {

using proto::Graph;
using proto::OperatorIndex;
using proto::Plan;
using proto::Precision;
using proto::ScheduleKind;
using proto::Shape;
using proto::StageIndex;

constexpr proto::ShapeBinding kBinding{2, 8};

// Contiguous stages that end before the given operators.
Plan split(const Graph& graph, std::vector<std::uint32_t> cuts, std::uint32_t micro_batches = 8,
           ScheduleKind schedule = ScheduleKind::kOneForwardOneBackward) {
  Plan plan;
  plan.schedule = schedule;
  plan.micro_batches = micro_batches;
  plan.micro_batch_size = 2;
  cuts.push_back(static_cast<std::uint32_t>(graph.operators.size()));
  std::uint32_t next = 0;
  for (const std::uint32_t cut : cuts) {
    proto::Stage& stage = plan.stages.emplace_back();
    stage.has_data = true;
    for (; next < cut; ++next) stage.operators.push_back(OperatorIndex{next});
  }
  return plan;
}

TEST_CASE("memory: parameters, gradients and optimizer count 4, 4 and 8 bytes per element") {
  const Graph graph = Graph::from_wire(tests::gpt2_graph({})).value();
  const auto shapes = proto::infer_shapes(graph, kBinding).value();
  std::uint64_t elements = 0;
  for (const proto::Parameter& parameter : graph.parameters) {
    elements += static_cast<std::uint64_t>(parameter.elements());
  }
  const std::uint64_t tied = 17 * 8;
  const Plan plan = split(graph, {});
  const auto fp32 = estimate_memory(graph, plan, StageIndex{0}, shapes, {Precision::kFp32});
  CHECK(fp32.parameters == 4 * elements);
  CHECK(fp32.optimizer == 8 * elements);
  CHECK(fp32.gradients == 4 * (elements + tied));  // one buffer per use of the tied weight
  CHECK(fp32.boundary == 0);
  CHECK(fp32.exchange == 0);
  const auto bf16 = estimate_memory(graph, plan, StageIndex{0}, shapes, {Precision::kBf16});
  CHECK(bf16.parameters == 6 * elements);
  CHECK(bf16.gradients == fp32.gradients);
  CHECK(bf16.activations < fp32.activations);
  CHECK(fp32.total() == fp32.parameters + fp32.gradients + fp32.optimizer + fp32.activations +
                            fp32.workspace + fp32.boundary);
}

TEST_CASE("memory: a tied weight on two stages has one gradient buffer on each") {
  const Graph graph = Graph::from_wire(tests::gpt2_graph({})).value();
  const auto shapes = proto::infer_shapes(graph, kBinding).value();
  const Plan plan = split(graph, {15});
  for (const StageIndex stage : {StageIndex{0}, StageIndex{1}}) {
    const auto estimate = estimate_memory(graph, plan, stage, shapes, {Precision::kFp32});
    CHECK(estimate.gradients == estimate.parameters);
    CHECK(estimate.exchange == 4 * 17 * 8);  // received; ours is sent where it lies
  }
}

TEST_CASE("memory: under 1f1b it does not grow with the number of micro-batches") {
  const Graph graph = Graph::from_wire(tests::gpt2_graph({})).value();
  const auto shapes = proto::infer_shapes(graph, kBinding).value();
  for (std::uint32_t s = 0; s < 3; ++s) {
    const auto at = [&](std::uint32_t micro_batches, ScheduleKind kind) {
      return estimate_memory(graph, split(graph, {10, 20}, micro_batches, kind), StageIndex{s},
                             shapes, {Precision::kFp32});
    };
    const auto four = at(4, ScheduleKind::kOneForwardOneBackward);
    const auto many = at(64, ScheduleKind::kOneForwardOneBackward);
    CHECK(four.total() == many.total());
    CHECK(four.in_flight == 3 - s);
    CHECK(four.activations == four.in_flight * four.saved_per_micro_batch);
    CHECK(at(64, ScheduleKind::kGpipe).in_flight == 64);
    CHECK(at(64, ScheduleKind::kGpipe).activations == 64 * four.saved_per_micro_batch);
  }
}

TEST_CASE(
    "memory: under zero-bubble stage s keeps s micro-batches more, for their weight gradients") {
  const Graph graph = Graph::from_wire(tests::gpt2_graph({})).value();
  const auto shapes = proto::infer_shapes(graph, kBinding).value();
  for (std::uint32_t s = 0; s < 3; ++s) {
    CAPTURE(s);
    const auto at = [&](std::uint32_t micro_batches, ScheduleKind kind) {
      return estimate_memory(graph, split(graph, {10, 20}, micro_batches, kind), StageIndex{s},
                             shapes, {Precision::kFp32});
    };
    const auto four = at(4, ScheduleKind::kZeroBubble);
    const auto many = at(64, ScheduleKind::kZeroBubble);
    CHECK(four.total() == many.total());
    CHECK(many.in_flight == 3);
    CHECK(many.awaiting_weights == s);
    CHECK(many.activations ==
          (3 - s) * many.saved_per_micro_batch + s * many.kept_for_weights_per_micro_batch);
    const auto usual = at(64, ScheduleKind::kOneForwardOneBackward);
    CHECK(usual.awaiting_weights == 0);
    CHECK(many.saved_per_micro_batch == usual.saved_per_micro_batch);
    CHECK(many.total() - usual.total() == s * many.kept_for_weights_per_micro_batch);
    CHECK(many.total() < at(64, ScheduleKind::kGpipe).total());
    CHECK((describe(many).find("that await weight gradients") != std::string::npos) == (s > 0));
  }
}

TEST_CASE("memory: a boundary holds an activation and its gradient, or integers") {
  const Graph graph = Graph::from_wire(tests::gpt2_graph({.width = 8})).value();
  const auto shapes = proto::infer_shapes(graph, kBinding).value();
  const std::uint32_t cut = graph.find_operator("h.0.add_2")->value + 1;
  Plan plan = split(graph, {cut});
  const std::uint64_t residual = 2 * 8 * 8 * 4;
  CHECK(estimate_memory(graph, plan, StageIndex{0}, shapes, {Precision::kFp32}).boundary ==
        2 * residual);
  plan.stages[1].has_data = false;
  const std::uint64_t targets = 2 * 8 * 8;
  CHECK(estimate_memory(graph, plan, StageIndex{1}, shapes, {Precision::kFp32}).boundary ==
        2 * residual + targets);
}

TEST_CASE("walk: a chain is followed byte by byte") {
  // tokens [2,8] -> embed [2,8,6] -> gelu -> relu -> head [2,8,7] -> loss
  tests::GraphBuilder builder;
  builder.parameter("weight", {7, 6});
  builder.add("embed", "embedding", {"tokens"}, {"weight"});
  builder.add("gelu", "gelu", {"embed"});
  builder.add("relu", "relu", {"gelu"});
  builder.add("head", "linear", {"relu"}, {"weight"});
  builder.loss("head");
  const Graph graph = Graph::from_wire(builder.message).value();
  const auto shapes = proto::infer_shapes(graph, kBinding).value();
  const std::int64_t integers = 16 * 8;
  const std::int64_t wide = 16 * 6 * 4;
  const std::int64_t logits = 16 * 7 * 4;
  const std::int64_t sums = 16 * 4;
  const MicroBatchMemory whole =
      walk_micro_batch(graph, split(graph, {}), StageIndex{0}, shapes, {Precision::kFp32});
  // Kept: tokens, targets, embed, gelu, relu, logits, the rows' sums.
  CHECK(whole.saved == 2 * integers + 3 * wide + logits + sums);
  CHECK(whole.forward_peak == whole.saved + 4 + 16 * 16);  // the loss, and scratch per row
  // The logits turn into their gradient, targets and sums go; then relu's gradient is made.
  CHECK(whole.backward_peak() == whole.saved - integers - sums + wide);
  CHECK(whole.kept_for_weights == 0);  // computed on the way

  // The second stage starts at relu: it owes a gradient, and so holds on to what `head` needs for
  // its weight gradient (the logits' gradient, relu) while gelu's gradient is made from relu's.
  const MicroBatchMemory last =
      walk_micro_batch(graph, split(graph, {2}), StageIndex{1}, shapes, {Precision::kFp32});
  CHECK(last.saved == integers + 2 * wide + logits + sums);
  CHECK(last.backward_peak() == logits + 4 * wide);
  CHECK(last.kept_for_weights == logits + wide);
  CHECK(last.backward_weight_peak == last.kept_for_weights);

  const MicroBatchMemory first =
      walk_micro_batch(graph, split(graph, {2}), StageIndex{0}, shapes, {Precision::kFp32});
  CHECK(first.saved == integers + wide);
  CHECK(first.forward_peak == integers + 2 * wide);  // gelu's output on its way out
  CHECK(first.backward_peak() == integers + wide + 2 * wide);
}

// What a stage keeps, counted value by value.
std::int64_t kept_bytes(const Graph& graph, const Plan& plan, StageIndex stage,
                        const std::vector<Shape>& shapes, Precision precision) {
  const auto& operators = plan.stages[stage.value].operators;
  std::int64_t bytes = 0;
  for (const proto::ValueIndex value : proto::kept_values(graph, operators)) {
    bytes += value_bytes(graph, value, shapes, precision);
  }
  for (const OperatorIndex op : operators) {
    bytes += saved_extra_bytes(graph, op, shapes, precision);
  }
  return bytes;
}

TEST_CASE("walk: on random DAGs it keeps what the operators say, for any split") {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const Graph graph = Graph::from_wire(tests::random_graph(seed, 20)).value();
    const auto shapes = proto::infer_shapes(graph, kBinding).value();
    std::vector<std::uint32_t> cuts;
    for (std::uint32_t i = 1; i < graph.operators.size(); ++i) {
      if (random() % 8 == 0) cuts.push_back(i);
    }
    const Plan plan = split(graph, cuts);
    for (std::uint32_t s = 0; s < plan.stages.size(); ++s) {
      CAPTURE(s);
      for (const Precision precision : {Precision::kFp32, Precision::kBf16}) {
        const MicroBatchMemory walk =
            walk_micro_batch(graph, plan, StageIndex{s}, shapes, precision);
        CHECK(walk.forward_peak >= walk.saved);
        CHECK(walk.backward_input_peak >= walk.saved);
        CHECK(walk.backward_input_peak >= walk.kept_for_weights);
        CHECK(walk.backward_weight_peak >= walk.kept_for_weights);
        const std::int64_t kept = kept_bytes(graph, plan, StageIndex{s}, shapes, precision);
        // Logits that cannot be overwritten are copied; a dropout at rate 0 is its input, which
        // then is one tensor under two names.
        const bool loss_here = plan.stage_of(graph.loss) == StageIndex{s};
        const std::int64_t logits =
            value_bytes(graph, graph.operators[graph.loss.value].inputs[0], shapes, precision);
        const bool aliases = std::any_of(
            graph.operators.begin(), graph.operators.end(), [](const proto::Operator& op) {
              return op.kind == proto::OperatorKind::kDropout && op.rate == 0.0;
            });
        CHECK(walk.saved <= kept + (loss_here ? logits : 0));
        if (!aliases) CHECK(walk.saved >= kept);
        if (!aliases && !loss_here) CHECK(walk.saved == kept);
      }
    }
  }
}

TEST_CASE("memory: sums saturate") {
  MemoryEstimate estimate;
  estimate.activations = std::numeric_limits<std::uint64_t>::max();
  estimate.parameters = 1;
  CHECK(estimate.total() == std::numeric_limits<std::uint64_t>::max());
}

TEST_CASE("memory: bytes read like a human writes them") {
  CHECK(human_bytes(0) == "0 B");
  CHECK(human_bytes(1023) == "1023 B");
  CHECK(human_bytes(1536) == "1.5 KiB");
  CHECK(human_bytes((std::uint64_t{1} << 20) - 1) == "1.0 MiB");
  CHECK(human_bytes(std::uint64_t{16} << 30) == "16.0 GiB");
  CHECK(human_bytes(std::numeric_limits<std::uint64_t>::max()) == "16.0 EiB");
}

}  // namespace
}  // namespace longhaul::scheduler
