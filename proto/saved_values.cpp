// The operators' needs between forward and backward, kind by kind.
#include "proto/saved_values.hpp"

#include "proto/assert.hpp"

#include <algorithm>

namespace longhaul::proto {

SavedValues saved_values(const Operator& op) {
  switch (op.kind) {
    case OperatorKind::kEmbedding:
    case OperatorKind::kLayerNorm:
    case OperatorKind::kLinear:
    case OperatorKind::kAttention:
    case OperatorKind::kGelu:
    case OperatorKind::kRelu:
    case OperatorKind::kSilu:
    case OperatorKind::kCausalConv1d:
      return {.inputs = {true, false}};
    case OperatorKind::kTanh:
    case OperatorKind::kSigmoid:
      return {.output = true};
    case OperatorKind::kMultiply:
    case OperatorKind::kCrossEntropy:
      return {.inputs = {true, true}};
    case OperatorKind::kAddPosition:
    case OperatorKind::kAdd:
    case OperatorKind::kDropout:
      return {};
  }
  LONGHAUL_ASSERT(false);
}

SavedValues saved_values(const Operator& op, const Shape& input, const Shape& output) {
  SavedValues saved = saved_values(op);
  if (op.kind == OperatorKind::kLayerNorm) {
    LONGHAUL_ASSERT(!input.empty() && input.back() > 0);
    saved.fp32_elements = 2 * (element_count(input) / input.back());
  } else if (op.kind == OperatorKind::kAttention) {
    LONGHAUL_ASSERT(input.size() == 3);
    saved.activation_elements =
        element_count(std::array{input[0], op.heads, input[1], input[1]});
    if (op.rate > 0.0) saved.mask_bytes = saved.activation_elements;
  } else if (op.kind == OperatorKind::kCrossEntropy) {
    LONGHAUL_ASSERT(!input.empty() && input.back() > 0);
    saved.fp32_elements = element_count(input) / input.back();
  } else if (op.kind == OperatorKind::kDropout && op.rate > 0.0) {
    saved.mask_bytes = element_count(output);
  }
  return saved;
}

std::vector<ValueIndex> kept_values(const Graph& graph,
                                    std::span<const OperatorIndex> operators) {
  std::vector<ValueIndex> kept;
  for (const OperatorIndex index : operators) {
    const Operator& op = graph.operators[index.value];
    const SavedValues saved = saved_values(op);
    for (std::size_t i = 0; i < op.inputs.size(); ++i) {
      if (saved.inputs[i]) kept.push_back(op.inputs[i]);
    }
    if (saved.output) kept.push_back(graph.value_of(index));
  }
  std::sort(kept.begin(), kept.end());
  kept.erase(std::unique(kept.begin(), kept.end()), kept.end());
  return kept;
}

}  // namespace longhaul::proto
