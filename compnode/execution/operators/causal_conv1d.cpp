// Convolution over the sequence that sees the present and the past only.
#include "compnode/execution/operators/operator_classes.hpp"

namespace longhaul::compnode {
namespace {

// [B, T, I] -> [B, I, K - 1 + T], zeros first.
at::Tensor padded_channels_first(const at::Tensor& input, std::int64_t kernel) {
  return at::constant_pad_nd(input.transpose(1, 2), {kernel - 1, 0}).contiguous();
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> gradients_of(const at::Tensor& output_gradient,
                                                            const at::Tensor& input,
                                                            const at::Tensor& weight,
                                                            std::array<bool, 3> wanted) {
  return at::convolution_backward(output_gradient.transpose(1, 2).contiguous(), input, weight,
                                  at::IntArrayRef{weight.size(0)}, {1}, {0}, {1}, false, {0}, 1,
                                  wanted);
}

}  // namespace

at::Tensor CausalConv1d::forward(Tensors inputs, Tensors parameters, const ExecutionPoint&,
                                 Kept* kept) const {
  if (kept != nullptr) kept->inputs = {inputs[0]};
  const at::Tensor bias = parameters.size() > 1 ? parameters[1] : at::Tensor();
  return at::conv1d(padded_channels_first(inputs[0], parameters[0].size(2)), parameters[0], bias)
      .transpose(1, 2)
      .contiguous();
}

std::vector<at::Tensor> CausalConv1d::backward_input(const at::Tensor& output_gradient,
                                                     Tensors parameters, Kept& kept) const {
  const std::int64_t kernel = parameters[0].size(2);
  const at::Tensor padded = padded_channels_first(kept.inputs[0], kernel);
  const at::Tensor gradient =
      std::get<0>(gradients_of(output_gradient, padded, parameters[0], {true, false, false}));
  return {gradient.narrow(2, kernel - 1, output_gradient.size(1)).transpose(1, 2).contiguous()};
}

void CausalConv1d::backward_weight(const at::Tensor& output_gradient, Tensors parameters,
                                   Kept& kept, std::span<at::Tensor> gradients) const {
  const at::Tensor padded = padded_channels_first(kept.inputs[0], parameters[0].size(2));
  const auto computed =
      gradients_of(output_gradient, padded, parameters[0], {false, true, gradients.size() > 1});
  gradients[0].add_(std::get<1>(computed));
  if (gradients.size() > 1) gradients[1].add_(std::get<2>(computed));
}

}  // namespace longhaul::compnode
