// What every operator can do: compute forward, and differentiate itself in two halves, so that a
// stage's input gradients can leave before its weight gradients are computed.
#pragma once

#include "compnode/execution/torch.hpp"
#include "proto/graph.hpp"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace longhaul::compnode {

// Where in the run an execution is: all that randomness may depend on.
struct ExecutionPoint {
  std::uint64_t seed = 0;
  std::uint64_t step = 0;
  std::uint64_t first_sequence = 0;  // of the micro-batch, in the global batch
  bool training = true;              // false: dropout is the identity and nothing is kept
  // The operator may overwrite its first input: nobody else reads it any more.
  bool may_overwrite_input = false;
};

// What one execution keeps between forward and backward. `inputs` are kept whole where
// proto/saved_values.hpp says so; `extra` is the operator's own.
struct Kept {
  std::vector<at::Tensor> inputs;
  std::vector<at::Tensor> extra;
  ExecutionPoint point;
};

// Stateless but for its attributes: one object serves every micro-batch. Activations are in the
// job's precision, fp32 or bf16; parameters arrive in the precision that `parameter_type` names;
// parameter gradients are fp32 and accumulated into. All tensors are contiguous.
class Operator {
 public:
  virtual ~Operator() = default;

  // fp32 or the activations' type: which copy of its parameters the operator computes with.
  [[nodiscard]] virtual at::ScalarType parameter_type(at::ScalarType activation) const {
    return activation;
  }

  // `kept` is null if no backward will follow.
  [[nodiscard]] virtual at::Tensor forward(std::span<const at::Tensor> inputs,
                                           std::span<const at::Tensor> parameters,
                                           const ExecutionPoint& point, Kept* kept) const = 0;

  // Gradients of the inputs, in their order; undefined where an input has none (integers). May
  // consume what weight gradients do not need from `kept`.
  [[nodiscard]] virtual std::vector<at::Tensor> backward_input(
      const at::Tensor& output_gradient, std::span<const at::Tensor> parameters,
      Kept& kept) const = 0;

  // Adds the parameters' gradients into `gradients` (fp32, in the parameters' order).
  virtual void backward_weight(const at::Tensor& output_gradient,
                               std::span<const at::Tensor> parameters, Kept& kept,
                               std::span<at::Tensor> gradients) const {
    (void)output_gradient, (void)parameters, (void)kept, (void)gradients;
  }
};

// The operator that executes `op`. `index` is its number in the graph: part of the key of its
// random numbers.
[[nodiscard]] std::unique_ptr<Operator> make_operator(const proto::Operator& op,
                                                      proto::OperatorIndex index);

}  // namespace longhaul::compnode
