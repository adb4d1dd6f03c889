// One line per kind.
#include "proto/operator_class.hpp"

#include <fmt/format.h>

namespace longhaul::proto {

std::string operator_class(const Graph& graph, OperatorIndex index, std::span<const Shape> shapes) {
  const Operator& op = graph.operators[index.value];
  const std::string kind(operator_name(op.kind));
  const auto extent = [&](ValueIndex value) {
    const Shape& shape = shapes[value.value];
    return shape.empty() ? std::int64_t{1} : shape.back();
  };
  const std::int64_t in = extent(op.inputs.front());
  const std::int64_t out = extent(graph.value_of(index));
  const char* const bias = op.parameters.size() > 1 ? " bias" : "";
  const char* const dropout = op.rate > 0.0 ? " dropout" : "";
  switch (op.kind) {
    case OperatorKind::kEmbedding:
      return fmt::format("{} {}->{}", kind,
                         graph.parameters[op.parameters.front().value].shape.front(), out);
    case OperatorKind::kLinear:
      return fmt::format("{} {}->{}{}", kind, in, out, bias);
    case OperatorKind::kAttention:
      return fmt::format("{} {} heads {}{}", kind, out, op.heads, dropout);
    case OperatorKind::kCausalConv1d:
      return fmt::format("{} {}->{} kernel {}{}", kind, in, out,
                         graph.parameters[op.parameters.front().value].shape.back(), bias);
    case OperatorKind::kGelu:
      return fmt::format("{} {}{}", kind, out, op.gelu_tanh ? " tanh" : "");
    case OperatorKind::kDropout:
      return fmt::format("{} {}{}", kind, out, op.rate > 0.0 ? "" : " rate 0");
    case OperatorKind::kCrossEntropy:
      return fmt::format("{} {}", kind, in);
    case OperatorKind::kAddPosition:
    case OperatorKind::kLayerNorm:
    case OperatorKind::kRelu:
    case OperatorKind::kSilu:
    case OperatorKind::kTanh:
    case OperatorKind::kSigmoid:
    case OperatorKind::kAdd:
    case OperatorKind::kMultiply:
      return fmt::format("{} {}", kind, out);
  }
  return kind;
}

}  // namespace longhaul::proto
