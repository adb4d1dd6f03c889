// Layer normalisation, always computed in fp32.
#include "compnode/execution/operators/operator_classes.hpp"

namespace longhaul::compnode {

at::Tensor LayerNorm::forward(Tensors inputs, Tensors parameters, const ExecutionPoint&,
                              Kept* kept) const {
  const at::Tensor input = inputs[0].to(at::kFloat);
  auto [out, mean, rstd] = at::native_layer_norm(input, {input.size(-1)}, parameters[0],
                                                 parameters[1], epsilon_);
  if (kept != nullptr) {
    kept->inputs = {inputs[0]};
    kept->extra = {mean, rstd};
  }
  return out.to(inputs[0].scalar_type());
}

std::vector<at::Tensor> LayerNorm::backward_input(const at::Tensor& output_gradient,
                                                  Tensors parameters, Kept& kept) const {
  const at::Tensor input = kept.inputs[0].to(at::kFloat);
  auto gradients = at::native_layer_norm_backward(
      output_gradient.to(at::kFloat), input, {input.size(-1)}, kept.extra[0], kept.extra[1],
      parameters[0], parameters[1], {true, false, false});
  return {std::get<0>(gradients).to(output_gradient.scalar_type())};
}

void LayerNorm::backward_weight(const at::Tensor& output_gradient, Tensors, Kept& kept,
                                std::span<at::Tensor> gradients) const {
  // Written as reductions over rows, so that the sum does not depend on the number of threads.
  const std::int64_t width = output_gradient.size(-1);
  const at::Tensor gradient = output_gradient.to(at::kFloat).view({-1, width});
  const at::Tensor input = kept.inputs[0].to(at::kFloat).view({-1, width});
  const at::Tensor mean = kept.extra[0].view({-1, 1});
  const at::Tensor rstd = kept.extra[1].view({-1, 1});
  gradients[0].add_(input.sub(mean).mul_(rstd).mul_(gradient).sum(0));
  gradients[1].add_(gradient.sum(0));
}

}  // namespace longhaul::compnode
