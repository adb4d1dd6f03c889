// From an operator of the graph to the object that executes it.
#include "compnode/execution/operators/operator.hpp"

#include "compnode/execution/operators/operator_classes.hpp"

namespace longhaul::compnode {

std::unique_ptr<Operator> make_operator(const proto::Operator& op, proto::OperatorIndex index) {
  using proto::OperatorKind;
  switch (op.kind) {
    case OperatorKind::kEmbedding: return std::make_unique<Embedding>();
    case OperatorKind::kAddPosition: return std::make_unique<AddPosition>();
    case OperatorKind::kLayerNorm: return std::make_unique<LayerNorm>(op.epsilon);
    case OperatorKind::kLinear: return std::make_unique<Linear>(op.weight_is_in_out);
    case OperatorKind::kAttention: return std::make_unique<Attention>(op.heads, op.rate, index);
    case OperatorKind::kGelu: return std::make_unique<Gelu>(op.gelu_tanh);
    case OperatorKind::kRelu: return std::make_unique<Activation>(ActivationFunction::kRelu);
    case OperatorKind::kSilu: return std::make_unique<Activation>(ActivationFunction::kSilu);
    case OperatorKind::kTanh: return std::make_unique<Activation>(ActivationFunction::kTanh);
    case OperatorKind::kSigmoid: return std::make_unique<Activation>(ActivationFunction::kSigmoid);
    case OperatorKind::kAdd: return std::make_unique<Add>();
    case OperatorKind::kMultiply: return std::make_unique<Multiply>();
    case OperatorKind::kDropout: return std::make_unique<Dropout>(op.rate, index);
    case OperatorKind::kCausalConv1d: return std::make_unique<CausalConv1d>();
    case OperatorKind::kCrossEntropy: return std::make_unique<CrossEntropy>();
  }
  return nullptr;
}

}  // namespace longhaul::compnode
