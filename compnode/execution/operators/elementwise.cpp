// Operators that work on one element at a time.
#include "compnode/execution/operators/operator_classes.hpp"
#include "compnode/execution/random_mask.hpp"

namespace longhaul::compnode {

at::Tensor Gelu::forward(Tensors inputs, Tensors, const ExecutionPoint&, Kept* kept) const {
  if (kept != nullptr) kept->inputs = {inputs[0]};
  return at::gelu(inputs[0], approximate_);
}

std::vector<at::Tensor> Gelu::backward_input(const at::Tensor& output_gradient, Tensors,
                                             Kept& kept) const {
  return {at::gelu_backward(output_gradient, kept.inputs[0], approximate_)};
}

at::Tensor Activation::forward(Tensors inputs, Tensors, const ExecutionPoint&, Kept* kept) const {
  at::Tensor out;
  switch (function_) {
    case ActivationFunction::kRelu: out = at::relu(inputs[0]); break;
    case ActivationFunction::kSilu: out = at::silu(inputs[0]); break;
    case ActivationFunction::kTanh: out = at::tanh(inputs[0]); break;
    case ActivationFunction::kSigmoid: out = at::sigmoid(inputs[0]); break;
  }
  if (kept != nullptr) {
    const bool keeps_output =
        function_ == ActivationFunction::kTanh || function_ == ActivationFunction::kSigmoid;
    kept->inputs = {keeps_output ? out : inputs[0]};
  }
  return out;
}

std::vector<at::Tensor> Activation::backward_input(const at::Tensor& output_gradient, Tensors,
                                                   Kept& kept) const {
  const at::Tensor& saved = kept.inputs[0];
  switch (function_) {
    case ActivationFunction::kRelu: return {at::threshold_backward(output_gradient, saved, 0)};
    case ActivationFunction::kSilu: return {at::silu_backward(output_gradient, saved)};
    case ActivationFunction::kTanh: return {at::tanh_backward(output_gradient, saved)};
    case ActivationFunction::kSigmoid: return {at::sigmoid_backward(output_gradient, saved)};
  }
  return {};
}

at::Tensor Add::forward(Tensors inputs, Tensors, const ExecutionPoint&, Kept*) const {
  return inputs[0].add(inputs[1]);
}

std::vector<at::Tensor> Add::backward_input(const at::Tensor& output_gradient, Tensors,
                                            Kept&) const {
  return {output_gradient, output_gradient};
}

at::Tensor Multiply::forward(Tensors inputs, Tensors, const ExecutionPoint&, Kept* kept) const {
  if (kept != nullptr) kept->inputs = {inputs[0], inputs[1]};
  return inputs[0].mul(inputs[1]);
}

std::vector<at::Tensor> Multiply::backward_input(const at::Tensor& output_gradient, Tensors,
                                                 Kept& kept) const {
  return {output_gradient.mul(kept.inputs[1]), output_gradient.mul(kept.inputs[0])};
}

at::Tensor Dropout::forward(Tensors inputs, Tensors, const ExecutionPoint& point,
                            Kept* kept) const {
  if (!point.training || rate_ == 0.0) return inputs[0];
  const at::Tensor mask = random_mask({point.seed, point.step, index_.value, point.first_sequence},
                                      rate_, inputs[0].sizes(), inputs[0].device());
  if (kept != nullptr) kept->extra = {mask};
  return apply_mask(inputs[0], mask, 1.0 / (1.0 - rate_));
}

std::vector<at::Tensor> Dropout::backward_input(const at::Tensor& output_gradient, Tensors,
                                                Kept& kept) const {
  if (kept.extra.empty()) return {output_gradient};
  return {apply_mask(output_gradient, kept.extra[0], 1.0 / (1.0 - rate_))};
}

}  // namespace longhaul::compnode
