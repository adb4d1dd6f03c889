// Formulas of operators, as times and bytes of a workload.
#include "scheduler/workload_from_graph.hpp"

#include "proto/text.hpp"
#include "scheduler/operator_costs.hpp"
#include "scheduler/operator_workspace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

namespace longhaul::scheduler {
namespace {

constexpr double kMaster = 4.0;     // bytes of a parameter in fp32
constexpr double kGradient = 4.0;   // of its gradient
constexpr double kMoments = 8.0;    // of AdamW's state
constexpr double kBf16Copy = 2.0;   // of what is computed with under bf16

struct Traffic {  // bytes that an operator reads and writes
  double inputs = 0.0;
  double output = 0.0;
  double parameters = 0.0;
};

double bytes_per_element(const MemoryOptions& memory) {
  double bytes = kMaster + kMoments;
  if (memory.precision == proto::Precision::kBf16) bytes += kBf16Copy;
  return bytes;
}

StageTime time_on(const DeviceKind& kind, const OperatorCosts& costs, const Traffic& traffic) {
  const auto seconds = [&](double flops, double bytes) {
    if (flops <= 0.0) return 0.0;
    return std::max(flops / (kind.flops_per_s * kind.efficiency), bytes / kind.memory_bytes_per_s);
  };
  const double all = traffic.inputs + traffic.output + traffic.parameters;
  return {.forward_s = seconds(costs.forward_flops, all),
          .input_gradient_s = seconds(costs.input_gradient_flops, all + traffic.output),
          .weight_gradient_s = seconds(costs.weight_gradient_flops, all + traffic.parameters)};
}

// The operators that use each parameter that more than one uses.
std::vector<WorkloadTie> ties(const proto::Graph& graph, const MemoryOptions& memory) {
  std::map<std::uint32_t, std::vector<std::size_t>> users;
  for (std::size_t op = 0; op < graph.operators.size(); ++op) {
    for (const proto::ParameterIndex parameter : graph.operators[op].parameters) {
      std::vector<std::size_t>& list = users[parameter.value];
      if (list.empty() || list.back() != op) list.push_back(op);
    }
  }
  std::vector<WorkloadTie> found;
  for (auto& [parameter, list] : users) {
    if (list.size() < 2) continue;
    const auto elements = static_cast<double>(graph.parameters[parameter].elements());
    found.push_back({.operators = std::move(list),
                     .bytes = kGradient * elements,
                     .shared_state_bytes = bytes_per_element(memory) * elements});
  }
  return found;
}

Exchange exchange_of(proto::OperatorKind kind) {
  switch (kind) {
    case proto::OperatorKind::kEmbedding:
    case proto::OperatorKind::kLinear:
    case proto::OperatorKind::kCausalConv1d:
      return Exchange::kMatrix;
    case proto::OperatorKind::kAttention:
      return Exchange::kAttention;
    case proto::OperatorKind::kAddPosition:
    case proto::OperatorKind::kLayerNorm:
    case proto::OperatorKind::kGelu:
    case proto::OperatorKind::kRelu:
    case proto::OperatorKind::kSilu:
    case proto::OperatorKind::kTanh:
    case proto::OperatorKind::kSigmoid:
    case proto::OperatorKind::kAdd:
    case proto::OperatorKind::kMultiply:
    case proto::OperatorKind::kDropout:
    case proto::OperatorKind::kCrossEntropy:
      break;
  }
  return Exchange::kNothing;
}

proto::Result<void> check_kinds(const std::vector<DeviceKind>& kinds) {
  if (kinds.empty()) return proto::configuration_error("no kind of device to plan for");
  for (const DeviceKind& kind : kinds) {
    if (!(kind.flops_per_s > 0.0) || !(kind.efficiency > 0.0) || kind.efficiency > 1.0 ||
        !(kind.memory_bytes_per_s > 0.0)) {
      return proto::configuration_error(fmt::format(
          "device kind {}: FLOPs and bytes per second must be positive, the efficiency above 0 and "
          "at most 1",
          proto::quoted(kind.name)));
    }
  }
  return {};
}

}  // namespace

proto::Result<Workload> workload_from_graph(const proto::Graph& graph,
                                            const GraphWorkloadOptions& options) {
  if (auto good = check_kinds(options.kinds); !good) return good.error();
  const auto shapes = proto::infer_shapes(graph, options.binding);
  if (!shapes) return shapes.error();
  const proto::Precision precision = options.memory.precision;
  Workload workload;
  workload.name = graph.name;
  workload.micro_batch_size = static_cast<std::uint32_t>(options.binding.batch);
  workload.tokens_per_micro_batch =
      static_cast<double>(options.binding.batch * options.binding.sequence);
  if (precision == proto::Precision::kBf16) workload.computed_share = kBf16Copy / kMaster;
  for (const DeviceKind& kind : options.kinds) {
    workload.kinds.push_back(kind.name);
    workload.overlap_slowdown.push_back(kind.overlap_slowdown);
    workload.update_scale.push_back(options.kinds.front().memory_bytes_per_s /
                                    kind.memory_bytes_per_s);
  }
  workload.times.resize(options.kinds.size());
  for (std::uint32_t i = 0; i < graph.operators.size(); ++i) {
    const proto::Operator& described = graph.operators[i];
    const proto::OperatorIndex index{i};
    const OperatorCosts costs = operator_costs(graph, index, *shapes, precision);
    const OperatorWorkspace scratch = operator_workspace(graph, index, *shapes, precision);
    const auto parameters = static_cast<double>(costs.parameters);
    WorkloadOperator op;
    op.id = described.id;
    Traffic traffic{
        .output = static_cast<double>(costs.output_bytes),
        .parameters = parameters * static_cast<double>(proto::activation_bytes(precision))};
    for (const proto::ValueIndex input : described.inputs) {
      traffic.inputs += static_cast<double>(value_bytes(graph, input, *shapes, precision));
      if (graph.is_data_input(input)) {
        op.needs_data = true;
      } else {
        op.inputs.push_back(graph.operator_of(input).value);
      }
    }
    op.exchange = exchange_of(described.kind);
    op.flops = costs.flops();
    op.state_bytes = parameters * (bytes_per_element(options.memory) + kGradient);
    op.parameter_bytes = parameters * kMaster;
    op.saved_bytes = static_cast<double>(costs.saved_bytes);
    // What is computed, and its gradient, beside the operator's own scratch.
    op.workspace_bytes = static_cast<double>(std::max(
                             {scratch.forward, scratch.input_gradient, scratch.weight_gradient})) +
                         2.0 * traffic.output;
    op.output_bytes = traffic.output;
    // Parameter, gradient and moments are read, all but the gradient are written.
    op.update_s = parameters * (2.0 * (kMaster + kMoments) + kGradient) /
                  options.kinds.front().memory_bytes_per_s;
    for (std::size_t kind = 0; kind < options.kinds.size(); ++kind) {
      workload.times[kind].push_back(time_on(options.kinds[kind], costs, traffic));
    }
    workload.operators.push_back(std::move(op));
  }
  workload.ties = ties(graph, options.memory);
  return workload;
}

}  // namespace longhaul::scheduler
