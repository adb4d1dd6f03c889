// Costs per operator, the split, and the check that every stage fits its node.
#include "scheduler/equal_compute.hpp"

#include "proto/text.hpp"
#include "scheduler/contiguous_split.hpp"
#include "scheduler/operator_costs.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

namespace longhaul::scheduler {
namespace {

using proto::Graph;
using proto::OperatorIndex;
using proto::Plan;
using proto::Shape;

proto::Result<std::vector<Candidate>> data_first(std::vector<Candidate> candidates) {
  const auto first = std::find_if(candidates.begin(), candidates.end(),
                                  [](const Candidate& candidate) { return candidate.has_data; });
  if (first == candidates.end()) {
    return proto::configuration_error(
        "none of the nodes has the job's data; let a node that has it join, or name one in "
        "data.nodes");
  }
  std::rotate(candidates.begin(), first, first + 1);
  return candidates;
}

// Bytes of the values that operators before each operator made and that it or a later one reads.
std::vector<std::int64_t> bytes_per_cut(const Graph& graph, std::span<const Shape> shapes,
                                        proto::Precision precision) {
  const std::size_t operators = graph.operators.size();
  std::vector<std::size_t> last_reader(operators);
  for (std::size_t i = 0; i < operators; ++i) {
    for (const proto::ValueIndex input : graph.operators[i].inputs) {
      if (!graph.is_data_input(input)) last_reader[graph.operator_of(input).value] = i;
    }
  }
  std::vector<std::int64_t> change(operators + 1);
  for (std::uint32_t i = 0; i < operators; ++i) {
    if (last_reader[i] <= i) continue;  // the loss
    const std::int64_t bytes =
        value_bytes(graph, graph.value_of(OperatorIndex{i}), shapes, precision);
    change[i + 1] += bytes;
    change[last_reader[i] + 1] -= bytes;
  }
  std::vector<std::int64_t> cuts(operators);
  std::int64_t crossing = 0;
  for (std::size_t i = 0; i < operators; ++i) cuts[i] = crossing += change[i];
  return cuts;
}

// Bytes that the stage would need.
struct OtherNeeds {
  std::uint64_t in_bf16 = 0;
  std::uint64_t with_1f1b = 0;
};

OtherNeeds other_needs(const Graph& graph, Plan plan, proto::StageIndex stage,
                       std::span<const Shape> shapes, const MemoryOptions& memory) {
  MemoryOptions bf16 = memory;
  bf16.precision = proto::Precision::kBf16;
  OtherNeeds needs;
  needs.in_bf16 = estimate_memory(graph, plan, stage, shapes, bf16).total();
  plan.schedule = proto::ScheduleKind::kOneForwardOneBackward;
  needs.with_1f1b = estimate_memory(graph, plan, stage, shapes, memory).total();
  return needs;
}

std::string remedies(const Graph& graph, const Plan& plan, const MemoryEstimate& need,
                     const OtherNeeds& other) {
  std::vector<std::string> ways;
  if (plan.stages.size() < graph.operators.size()) ways.emplace_back("use more nodes");
  if (plan.micro_batch_size > 1) ways.emplace_back("a smaller training.micro_batch");
  if (other.with_1f1b < need.total()) ways.emplace_back("pipeline.schedule 1f1b");
  if (other.in_bf16 < need.total()) {
    ways.emplace_back("training.precision bf16");
  }
  ways.emplace_back("a shorter data.sequence_length");
  ways.emplace_back("a node with more memory");
  return fmt::format("{}", fmt::join(ways, ", or "));
}

proto::Error does_not_fit(const Graph& graph, const Plan& plan, std::size_t index,
                          const MemoryEstimate& need, const OtherNeeds& other,
                          std::uint64_t capacity) {
  const proto::Stage& stage = plan.stages[index];
  return {
      proto::ErrorKind::kResource,
      fmt::format("stage {} (operators {} to {}) needs {} of memory, and device {} of node {} "
                  "has {}: {}; {}",
                  index, proto::quoted(graph.operators[stage.operators.front().value].id),
                  proto::quoted(graph.operators[stage.operators.back().value].id),
                  human_bytes(need.total()), proto::quoted(stage.device), proto::quoted(stage.node),
                  human_bytes(capacity), describe(need), remedies(graph, plan, need, other))};
}

proto::Result<void> check_memory(const Graph& graph, const Plan& plan,
                                 std::span<const Shape> shapes, const MemoryOptions& memory,
                                 const std::vector<Candidate>& candidates) {
  for (std::uint32_t s = 0; s < plan.stages.size(); ++s) {
    const MemoryEstimate need = estimate_memory(graph, plan, proto::StageIndex{s}, shapes, memory);
    if (need.total() > candidates[s].memory_bytes) {
      return does_not_fit(graph, plan, s, need,
                          other_needs(graph, plan, proto::StageIndex{s}, shapes, memory),
                          candidates[s].memory_bytes);
    }
  }
  return {};
}

Plan make_plan(const Graph& graph, const std::vector<Candidate>& candidates,
               const std::vector<std::size_t>& firsts, const EqualComputeOptions& options) {
  Plan plan{.epoch = options.epoch,
            .stages = {},
            .schedule = options.schedule,
            .run_ahead = options.run_ahead,
            .micro_batches = options.micro_batches,
            .micro_batch_size = static_cast<std::uint32_t>(options.binding.batch)};
  for (std::size_t s = 0; s < candidates.size(); ++s) {
    proto::Stage stage{.node = candidates[s].node,
                       .device = candidates[s].device,
                       .threads = candidates[s].threads,
                       .operators = {},
                       .has_data = candidates[s].has_data};
    const std::size_t end = s + 1 < firsts.size() ? firsts[s + 1] : graph.operators.size();
    for (std::size_t i = firsts[s]; i < end; ++i) {
      stage.operators.push_back(OperatorIndex{static_cast<std::uint32_t>(i)});
    }
    plan.stages.push_back(std::move(stage));
  }
  return plan;
}

}  // namespace

proto::Result<Plan> equal_compute(const Graph& graph, const std::vector<Candidate>& candidates,
                                  const EqualComputeOptions& options) {
  if (candidates.empty()) return proto::configuration_error("there is no node to plan for");
  if (candidates.size() > graph.operators.size()) {
    return proto::configuration_error(
        fmt::format("{} nodes for a graph of {} operators; use at most {} nodes", candidates.size(),
                    graph.operators.size(), graph.operators.size()));
  }
  const auto placed = data_first(candidates);
  if (!placed) return placed.error();
  const auto shapes = proto::infer_shapes(graph, options.binding);
  if (!shapes) return shapes.error();

  std::vector<double> flops;
  for (std::uint32_t i = 0; i < graph.operators.size(); ++i) {
    // The loss is a pass over logits that its neighbour has just made: no reason to send them.
    flops.push_back(
        OperatorIndex{i} == graph.loss
            ? 0.0
            : operator_costs(graph, OperatorIndex{i}, *shapes, options.memory.precision).flops());
  }
  const std::vector<std::int64_t> cuts = bytes_per_cut(graph, *shapes, options.memory.precision);
  const std::vector<std::size_t> firsts =
      contiguous_split({.costs = flops, .cut_bytes = cuts, .parts = placed->size()});
  Plan plan = make_plan(graph, *placed, firsts, options);

  if (auto fits = check_memory(graph, plan, *shapes, options.memory, *placed); !fits) {
    return fits.error();
  }
  return plan;
}

}  // namespace longhaul::scheduler
