// The formulas of operator_costs.hpp, kind by kind.
#include "scheduler/operator_costs.hpp"

#include "proto/saved_values.hpp"

#include <array>

namespace longhaul::scheduler {
namespace {

using proto::Operator;
using proto::OperatorKind;
using proto::Shape;

struct Flops {
  double forward = 0;
  double input_gradient = 0;
  double weight_gradient = 0;
};

double count(const Shape& shape) { return static_cast<double>(proto::element_count(shape)); }

// A matrix product per row of the output, forward and for both gradients.
Flops product(double outputs, double inner, bool bias) {
  const double multiply_adds = 2.0 * outputs * inner;
  const double bias_adds = bias ? outputs : 0.0;
  return {multiply_adds + bias_adds, multiply_adds, multiply_adds + bias_adds};
}

Flops attention(const Operator& op, const Shape& output) {
  const auto sequence = static_cast<double>(output[1]);
  const double products = count(output) * sequence;  // B T T C
  const double probabilities = static_cast<double>(output[0] * op.heads) * sequence * sequence;
  const bool drops = op.rate > 0.0;
  return {4.0 * products + (drops ? 14.0 : 12.0) * probabilities,
          8.0 * products + (drops ? 10.0 : 6.0) * probabilities, 0.0};
}

Flops flops_of(const proto::Graph& graph, const Operator& op, const Shape& input,
               const Shape& output) {
  const double n = count(output);
  const bool bias = op.parameters.size() > 1;
  switch (op.kind) {
    case OperatorKind::kEmbedding:
      return {0.0, 0.0, n};
    case OperatorKind::kAddPosition:
      return {n, 0.0, n};
    case OperatorKind::kLayerNorm:
      return {8.0 * n, 11.0 * n, 6.0 * n};
    case OperatorKind::kLinear:
      return product(n, static_cast<double>(input.back()), bias);
    case OperatorKind::kAttention:
      return attention(op, output);
    case OperatorKind::kGelu:
      return {14.0 * n, 20.0 * n, 0.0};
    case OperatorKind::kRelu:
      return {n, n, 0.0};
    case OperatorKind::kSilu:
      return {10.0 * n, 13.0 * n, 0.0};
    case OperatorKind::kTanh:
      return {8.0 * n, 3.0 * n, 0.0};
    case OperatorKind::kSigmoid:
      return {10.0 * n, 3.0 * n, 0.0};
    case OperatorKind::kAdd:
      return {n, n, 0.0};
    case OperatorKind::kMultiply:
      return {n, 2.0 * n, 0.0};
    case OperatorKind::kDropout:
      return op.rate > 0.0 ? Flops{2.0 * n, 2.0 * n, 0.0} : Flops{};
    case OperatorKind::kCausalConv1d: {
      const Shape& weight = graph.parameters[op.parameters[0].value].shape;
      return product(n, static_cast<double>(weight[1]) * static_cast<double>(weight[2]), bias);
    }
    case OperatorKind::kCrossEntropy:
      return {12.0 * count(input), 3.0 * count(input), 0.0};
  }
  return {};
}

}  // namespace

std::int64_t value_bytes(const proto::Graph& graph, proto::ValueIndex value,
                         std::span<const Shape> shapes, proto::Precision precision) {
  const std::int64_t elements = proto::element_count(shapes[value.value]);
  if (graph.is_data_input(value)) return 8 * elements;
  if (value == graph.value_of(graph.loss)) return 4;
  return proto::activation_bytes(precision) * elements;
}

std::int64_t saved_extra_bytes(const proto::Graph& graph, proto::OperatorIndex op,
                               std::span<const Shape> shapes, proto::Precision precision) {
  const Operator& described = graph.operators[op.value];
  const proto::SavedValues saved = proto::saved_values(described, shapes[described.inputs[0].value],
                                                       shapes[graph.value_of(op).value]);
  return proto::activation_bytes(precision) * saved.activation_elements + 4 * saved.fp32_elements +
         saved.mask_bytes;
}

OperatorCosts operator_costs(const proto::Graph& graph, proto::OperatorIndex op,
                             std::span<const Shape> shapes, proto::Precision precision) {
  const Operator& described = graph.operators[op.value];
  const proto::ValueIndex output = graph.value_of(op);
  const Flops flops =
      flops_of(graph, described, shapes[described.inputs[0].value], shapes[output.value]);
  OperatorCosts costs{.forward_flops = flops.forward,
                      .input_gradient_flops = flops.input_gradient,
                      .weight_gradient_flops = flops.weight_gradient,
                      .output_bytes = value_bytes(graph, output, shapes, precision)};
  for (const proto::ParameterIndex parameter : described.parameters) {
    costs.parameters += graph.parameters[parameter.value].elements();
  }
  const std::array only{op};
  for (const proto::ValueIndex value : proto::kept_values(graph, only)) {
    costs.saved_bytes += value_bytes(graph, value, shapes, precision);
  }
  costs.saved_bytes += saved_extra_bytes(graph, op, shapes, precision);
  return costs;
}

}  // namespace longhaul::scheduler
