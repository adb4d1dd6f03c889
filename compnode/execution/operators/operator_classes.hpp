// The operator classes; shapes and attributes are in proto/graph.hpp.
#pragma once

#include "compnode/execution/operators/operator.hpp"

namespace longhaul::compnode {

using Tensors = std::span<const at::Tensor>;

#define LONGHAUL_OPERATOR_METHODS                                                             \
  at::Tensor forward(Tensors inputs, Tensors parameters, const ExecutionPoint& point,         \
                     Kept* kept) const override;                                              \
  std::vector<at::Tensor> backward_input(const at::Tensor& output_gradient, Tensors parameters, \
                                         Kept& kept) const override

#define LONGHAUL_OPERATOR_WEIGHT_GRADIENT                                            \
  void backward_weight(const at::Tensor& output_gradient, Tensors parameters, Kept& kept, \
                       std::span<at::Tensor> gradients) const override

class Embedding final : public Operator {
 public:
  LONGHAUL_OPERATOR_METHODS;
  LONGHAUL_OPERATOR_WEIGHT_GRADIENT;
};

class AddPosition final : public Operator {
 public:
  LONGHAUL_OPERATOR_METHODS;
  LONGHAUL_OPERATOR_WEIGHT_GRADIENT;
};

// Computes in fp32 whatever the activations' type.
class LayerNorm final : public Operator {
 public:
  explicit LayerNorm(double epsilon) : epsilon_(epsilon) {}
  [[nodiscard]] at::ScalarType parameter_type(at::ScalarType) const override { return at::kFloat; }
  LONGHAUL_OPERATOR_METHODS;
  LONGHAUL_OPERATOR_WEIGHT_GRADIENT;

 private:
  double epsilon_;
};

class Linear final : public Operator {
 public:
  explicit Linear(bool weight_is_in_out) : weight_is_in_out_(weight_is_in_out) {}
  LONGHAUL_OPERATOR_METHODS;
  LONGHAUL_OPERATOR_WEIGHT_GRADIENT;

 private:
  [[nodiscard]] at::Tensor in_out(const at::Tensor& weight) const;  // [I, O], a view
  bool weight_is_in_out_;
};

class Attention final : public Operator {
 public:
  Attention(std::int64_t heads, double rate, proto::OperatorIndex index)
      : heads_(heads), rate_(rate), index_(index) {}
  LONGHAUL_OPERATOR_METHODS;

 private:
  std::int64_t heads_;
  double rate_;
  proto::OperatorIndex index_;
};

class Gelu final : public Operator {
 public:
  explicit Gelu(bool tanh) : approximate_(tanh ? "tanh" : "none") {}
  LONGHAUL_OPERATOR_METHODS;

 private:
  const char* approximate_;
};

enum class ActivationFunction { kRelu, kSilu, kTanh, kSigmoid };

class Activation final : public Operator {
 public:
  explicit Activation(ActivationFunction function) : function_(function) {}
  LONGHAUL_OPERATOR_METHODS;

 private:
  ActivationFunction function_;
};

class Add final : public Operator {
 public:
  LONGHAUL_OPERATOR_METHODS;
};

class Multiply final : public Operator {
 public:
  LONGHAUL_OPERATOR_METHODS;
};

class Dropout final : public Operator {
 public:
  Dropout(double rate, proto::OperatorIndex index) : rate_(rate), index_(index) {}
  LONGHAUL_OPERATOR_METHODS;

 private:
  double rate_;
  proto::OperatorIndex index_;
};

class CausalConv1d final : public Operator {
 public:
  LONGHAUL_OPERATOR_METHODS;
  LONGHAUL_OPERATOR_WEIGHT_GRADIENT;
};

// Turns the logits into probabilities in place where nobody else reads them: with a vocabulary of
// tens of thousands they are the largest tensor of the model.
class CrossEntropy final : public Operator {
 public:
  LONGHAUL_OPERATOR_METHODS;
};

#undef LONGHAUL_OPERATOR_METHODS
#undef LONGHAUL_OPERATOR_WEIGHT_GRADIENT

}  // namespace longhaul::compnode
