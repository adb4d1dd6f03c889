// Token and position embeddings.
#include "compnode/execution/operators/operator_classes.hpp"

namespace longhaul::compnode {

at::Tensor Embedding::forward(Tensors inputs, Tensors parameters, const ExecutionPoint&,
                              Kept* kept) const {
  if (kept != nullptr) kept->inputs = {inputs[0]};
  return at::embedding(parameters[0], inputs[0]);
}

std::vector<at::Tensor> Embedding::backward_input(const at::Tensor&, Tensors, Kept&) const {
  return {at::Tensor()};
}

void Embedding::backward_weight(const at::Tensor& output_gradient, Tensors, Kept& kept,
                                std::span<at::Tensor> gradients) const {
  const at::Tensor tokens = kept.inputs[0].reshape({-1});
  const at::Tensor rows =
      output_gradient.reshape({-1, output_gradient.size(-1)}).to(gradients[0].scalar_type());
  if (rows.device().is_cpu()) {
    gradients[0].index_add_(0, tokens, rows);
  } else {  // index_add_ adds in any order on a GPU; this sorts first, and is deterministic
    gradients[0].add_(at::embedding_dense_backward(rows, tokens, gradients[0].size(0), -1, false));
  }
}

at::Tensor AddPosition::forward(Tensors inputs, Tensors parameters, const ExecutionPoint&,
                                Kept*) const {
  return inputs[0].add(parameters[0].narrow(0, 0, inputs[0].size(1)));
}

std::vector<at::Tensor> AddPosition::backward_input(const at::Tensor& output_gradient, Tensors,
                                                    Kept&) const {
  return {output_gradient};
}

void AddPosition::backward_weight(const at::Tensor& output_gradient, Tensors, Kept&,
                                  std::span<at::Tensor> gradients) const {
  gradients[0]
      .narrow(0, 0, output_gradient.size(1))
      .add_(output_gradient.to(at::kFloat).sum(0));
}

}  // namespace longhaul::compnode
