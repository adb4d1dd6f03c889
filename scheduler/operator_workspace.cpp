// The formulas of operator_workspace.hpp, kind by kind.
#include "scheduler/operator_workspace.hpp"

namespace longhaul::scheduler {
namespace {

using proto::Operator;
using proto::OperatorKind;
using proto::Shape;

OperatorWorkspace attention(const Operator& op, const Shape& output, std::int64_t width) {
  const std::int64_t n = proto::element_count(output);
  const std::int64_t square = output[1] * output[1];
  const std::int64_t p = output[0] * op.heads * square;
  const std::int64_t scores = op.rate > 0.0 ? 2 * p : p;
  return {.forward = width * (4 * n + square + scores), .input_gradient = width * (7 * n + 2 * p)};
}

OperatorWorkspace convolution(const Shape& weight, const Shape& input, const Shape& output,
                              std::int64_t width) {
  const std::int64_t padded = input[0] * input[2] * (input[1] + weight[2] - 1);
  const std::int64_t n = proto::element_count(output);
  const std::int64_t bytes = width * (2 * padded + n);
  return {.forward = bytes,
          .input_gradient = bytes,
          .weight_gradient = bytes + width * proto::element_count(weight)};
}

}  // namespace

OperatorWorkspace operator_workspace(const proto::Graph& graph, proto::OperatorIndex op,
                                     std::span<const Shape> shapes, proto::Precision precision) {
  const Operator& described = graph.operators[op.value];
  const Shape& output = shapes[graph.value_of(op).value];
  const Shape& input = shapes[described.inputs[0].value];
  const std::int64_t n = proto::element_count(output);
  const std::int64_t width = proto::activation_bytes(precision);
  const bool bf16 = precision == proto::Precision::kBf16;
  const auto weight = [&]() -> const Shape& {
    return graph.parameters[described.parameters[0].value].shape;
  };
  switch (described.kind) {
    case OperatorKind::kLayerNorm:
      return {bf16 ? 8 * n : 0, bf16 ? 12 * n : 0, bf16 ? 12 * n : 4 * n};
    case OperatorKind::kLinear:
      return {.weight_gradient = bf16 ? 2 * proto::element_count(weight()) : 0};
    case OperatorKind::kAttention:
      return attention(described, output, width);
    case OperatorKind::kCausalConv1d:
      return convolution(weight(), input, output, width);
    case OperatorKind::kEmbedding:
    case OperatorKind::kAddPosition:
      return {.weight_gradient = bf16 ? 4 * n : 0};
    case OperatorKind::kGelu:
    case OperatorKind::kRelu:
    case OperatorKind::kSilu:
    case OperatorKind::kTanh:
    case OperatorKind::kSigmoid:
    case OperatorKind::kAdd:
    case OperatorKind::kMultiply:
    case OperatorKind::kDropout:
    case OperatorKind::kCrossEntropy:
      return {};
  }
  return {};
}

}  // namespace longhaul::scheduler
