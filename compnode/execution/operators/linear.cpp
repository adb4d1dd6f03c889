// The matrix product that most of a transformer's time goes into.
#include "compnode/execution/operators/operator_classes.hpp"

namespace longhaul::compnode {
namespace {

at::Tensor rows_of(const at::Tensor& tensor) { return tensor.view({-1, tensor.size(-1)}); }

}  // namespace

at::Tensor Linear::in_out(const at::Tensor& weight) const {
  return weight_is_in_out_ ? weight : weight.t();
}

at::Tensor Linear::forward(Tensors inputs, Tensors parameters, const ExecutionPoint&,
                           Kept* kept) const {
  const at::Tensor weight = in_out(parameters[0]);
  const at::Tensor rows = rows_of(inputs[0]);
  if (kept != nullptr) kept->inputs = {inputs[0]};
  const at::Tensor out =
      parameters.size() > 1 ? at::addmm(parameters[1], rows, weight) : rows.mm(weight);
  std::vector<std::int64_t> shape = inputs[0].sizes().vec();
  shape.back() = weight.size(1);
  return out.view(shape);
}

std::vector<at::Tensor> Linear::backward_input(const at::Tensor& output_gradient,
                                               Tensors parameters, Kept& kept) const {
  return {rows_of(output_gradient).mm(in_out(parameters[0]).t()).view(kept.inputs[0].sizes())};
}

void Linear::backward_weight(const at::Tensor& output_gradient, Tensors, Kept& kept,
                             std::span<at::Tensor> gradients) const {
  const at::Tensor gradient = rows_of(output_gradient);
  const at::Tensor input = rows_of(kept.inputs[0]);
  const at::Tensor& left = weight_is_in_out_ ? input : gradient;
  const at::Tensor& right = weight_is_in_out_ ? gradient : input;
  if (gradient.scalar_type() == at::kFloat) {
    gradients[0].addmm_(left.t(), right);
  } else {
    gradients[0].add_(left.t().mm(right));
  }
  if (gradients.size() > 1) gradients[1].add_(gradient.sum(0, false, at::kFloat));
}

}  // namespace longhaul::compnode
