// Sums of a stage's memory over parameters, micro-batches in flight and links.
#include "scheduler/memory_estimate.hpp"

#include "proto/pipeline_schedule.hpp"
#include "scheduler/memory_walk.hpp"
#include "scheduler/operator_costs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

namespace longhaul::scheduler {
namespace {

std::uint64_t saturating_product(std::uint64_t a, std::uint64_t b) {
  std::uint64_t product = 0;
  return __builtin_mul_overflow(a, b, &product) ? std::numeric_limits<std::uint64_t>::max()
                                                : product;
}

std::uint64_t saturating_sum(std::uint64_t a, std::uint64_t b) {
  std::uint64_t sum = 0;
  return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<std::uint64_t>::max() : sum;
}

void add_parameters(const proto::Graph& graph, const proto::Plan& plan, proto::StageIndex stage,
                    const MemoryOptions& options, MemoryEstimate& estimate) {
  const auto elements = [&](proto::ParameterIndex parameter) {
    return static_cast<std::uint64_t>(graph.parameters[parameter.value].elements());
  };
  std::uint64_t owned = 0;
  for (const proto::ParameterIndex parameter : proto::stage_parameters(graph, plan, stage)) {
    owned += elements(parameter);
  }
  std::uint64_t used = 0;
  for (const proto::OperatorIndex op : plan.stages[stage.value].operators) {
    for (const proto::ParameterIndex parameter : graph.operators[op.value].parameters) {
      used += elements(parameter);
    }
  }
  estimate.parameters = owned * (options.precision == proto::Precision::kBf16 ? 6 : 4);
  estimate.gradients = used * 4;
  estimate.optimizer = owned * 8;
}

// What the exchange of tied gradients holds at once (compnode/worker/tied_gradients.hpp).
std::uint64_t exchanged_bytes(const proto::Graph& graph, const proto::Plan& plan,
                              proto::StageIndex stage) {
  std::uint64_t bytes = 0;
  for (const proto::TiedParameter& tied : proto::tied_parameters(graph, plan)) {
    if (std::ranges::find(tied.stages, stage) == tied.stages.end()) continue;
    std::vector<bool> here;  // per use, in the order of the operators
    for (std::uint32_t op = 0; op < graph.operators.size(); ++op) {
      const auto& used = graph.operators[op].parameters;
      if (std::ranges::find(used, tied.parameter) == used.end()) continue;
      here.push_back(plan.stage_of(proto::OperatorIndex{op}) == stage);
    }
    const auto received = static_cast<std::uint64_t>(std::ranges::count(here, false));
    const std::uint64_t made = here[0] && here[1] ? 1 : 0;
    const auto elements =
        static_cast<std::uint64_t>(graph.parameters[tied.parameter.value].elements());
    bytes += 4 * elements * (received + made);
  }
  return bytes;
}

// Follows the schedule to the action during which micro-batches hold most.
void add_micro_batches(const std::vector<proto::Action>& schedule, const MicroBatchMemory& memory,
                       MemoryEstimate& estimate) {
  const auto saved = static_cast<std::uint64_t>(memory.saved);
  const auto kept = static_cast<std::uint64_t>(memory.kept_for_weights);
  estimate.saved_per_micro_batch = saved;
  estimate.kept_for_weights_per_micro_batch = kept;
  std::uint32_t forwarded = 0;  // micro-batches that keep `saved`
  std::uint32_t awaiting = 0;   // and `kept`
  std::uint64_t most = 0;
  // `own`: which of the two the micro-batch that is worked on counts with.
  const auto consider = [&](std::uint64_t own, std::int64_t peak) {
    const std::uint64_t workspace = static_cast<std::uint64_t>(peak) - own;
    const std::uint64_t activations =
        saturating_sum(saturating_product(forwarded, saved), saturating_product(awaiting, kept));
    const std::uint64_t sum = saturating_sum(activations, workspace);
    if (sum <= most) return;
    most = sum;
    estimate.activations = activations;
    estimate.workspace = workspace;
    estimate.in_flight = forwarded + awaiting;
    estimate.awaiting_weights = awaiting;
  };
  for (const proto::Action& action : schedule) {
    switch (action.kind) {
      case proto::ActionKind::kForward:
        ++forwarded;
        consider(saved, memory.forward_peak);
        break;
      case proto::ActionKind::kBackwardInput:
        consider(saved, memory.backward_input_peak);
        --forwarded;
        ++awaiting;
        break;
      case proto::ActionKind::kBackwardWeight:
        consider(kept, memory.backward_weight_peak);
        --awaiting;
        break;
    }
  }
}

}  // namespace

std::uint64_t MemoryEstimate::total() const {
  const std::uint64_t micro_batches =
      saturating_sum(activations, saturating_sum(workspace, boundary));
  std::uint64_t sum = std::max(micro_batches, exchange);
  for (const std::uint64_t part : {parameters, gradients, optimizer}) {
    sum = saturating_sum(sum, part);
  }
  return sum;
}

MemoryEstimate estimate_memory(const proto::Graph& graph, const proto::Plan& plan,
                               proto::StageIndex stage, std::span<const proto::Shape> shapes,
                               const MemoryOptions& options) {
  MemoryEstimate estimate;
  add_parameters(graph, plan, stage, options, estimate);
  estimate.exchange = exchanged_bytes(graph, plan, stage);

  const auto schedule = proto::pipeline_schedule(
      plan.schedule, {.stage = stage,
                      .stages = static_cast<std::uint32_t>(plan.stages.size()),
                      .micro_batches = plan.micro_batches,
                      .run_ahead = plan.run_ahead});
  add_micro_batches(schedule, walk_micro_batch(graph, plan, stage, shapes, options.precision),
                    estimate);

  for (const proto::Boundary& boundary : proto::boundaries(graph, plan)) {
    if (boundary.from != stage && boundary.to != stage) continue;
    const auto bytes =
        static_cast<std::uint64_t>(value_bytes(graph, boundary.value, shapes, options.precision));
    estimate.boundary = saturating_sum(estimate.boundary, boundary.data ? bytes : 2 * bytes);
  }
  return estimate;
}

std::string human_bytes(std::uint64_t bytes) {
  constexpr std::array<const char*, 7> kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  if (bytes < 1024) return fmt::format("{} B", bytes);
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < kUnits.size()) {
    value /= 1024.0;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits[unit]);
}

std::string describe(const MemoryEstimate& estimate) {
  const std::uint32_t forwarded = estimate.in_flight - estimate.awaiting_weights;
  const std::string awaiting =
      estimate.awaiting_weights == 0
          ? ""
          : fmt::format(", and of {} that await weight gradients {}", estimate.awaiting_weights,
                        human_bytes(estimate.kept_for_weights_per_micro_batch));
  return fmt::format(
      "parameters {}, gradients {}, optimizer {}, activations {} ({} micro-batch{} of {}{}), "
      "workspace {}, boundary {}{}",
      human_bytes(estimate.parameters), human_bytes(estimate.gradients),
      human_bytes(estimate.optimizer), human_bytes(estimate.activations), forwarded,
      forwarded == 1 ? "" : "es", human_bytes(estimate.saved_per_micro_batch), awaiting,
      human_bytes(estimate.workspace), human_bytes(estimate.boundary),
      estimate.exchange == 0 ? "" : ", or exchange " + human_bytes(estimate.exchange));
}

}  // namespace longhaul::scheduler
