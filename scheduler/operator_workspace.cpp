// The formulas of operator_workspace.hpp, kind by kind.
#include "scheduler/operator_workspace.hpp"

#include <algorithm>

namespace longhaul::scheduler {
namespace {

using proto::Operator;
using proto::OperatorKind;
using proto::Shape;

constexpr std::int64_t kBlockBytes = std::int64_t{1} << 20;  // cross_entropy's, in fp32

OperatorWorkspace attention(const Operator& op, const Shape& output, std::int64_t width,
                            bool bf16) {
  const std::int64_t n = proto::element_count(output);
  const std::int64_t square = output[1] * output[1];
  const std::int64_t p = output[0] * op.heads * square;
  std::int64_t forward = 4 * n + square + p;
  std::int64_t input_gradient = 7 * n + 2 * p;
  if (op.rate > 0.0) {
    forward = bf16 ? 3 * n + square + 2 * p + std::max(n, p) : forward + p;
    if (bf16) input_gradient += p;
  }
  return {.forward = width * forward, .input_gradient = width * input_gradient};
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
      return {.weight_gradient = bf16 ? 6 * proto::element_count(weight()) : 0};
    case OperatorKind::kAttention:
      return attention(described, output, width, bf16);
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
      return {};
    case OperatorKind::kDropout:
      if (!bf16 || described.rate == 0.0) return {};
      return {.forward = width * n, .input_gradient = width * n};
    case OperatorKind::kCrossEntropy: {
      const std::int64_t logits = proto::element_count(input);
      const std::int64_t blocks = bf16 ? std::min(8 * logits, 2 * kBlockBytes) : 0;
      return {.forward = 16 * (logits / input.back()) + blocks};
    }
  }
  return {};
}

}  // namespace longhaul::scheduler
