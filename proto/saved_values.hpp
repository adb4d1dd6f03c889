// What each operator keeps between its forward and its backward: one pure function, for the worker
// that keeps it and for the estimator that counts it.
#pragma once

#include "proto/graph.hpp"

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace longhaul::proto {

// What one operator needs again to differentiate itself, for one micro-batch. A value that several
// operators keep is one tensor and counts once; see kept_values.
struct SavedValues {
  std::array<bool, 2> inputs{};  // keeps input i
  bool output = false;           // keeps its own output
  // Tensors of the operator's own, kept beside:
  std::int64_t activation_elements = 0;  // at activation width: attention's probabilities
  // layer_norm: mean and 1/deviation, one each per row; cross_entropy: the sum of each row.
  std::int64_t fp32_elements = 0;
  std::int64_t mask_bytes = 0;           // dropout: 1 byte per element; 0 where the rate is 0

  bool operator==(const SavedValues&) const = default;
};

// By kind:
//   embedding       the tokens             tanh, sigmoid  the output
//   add_position    nothing                add            nothing
//   layer_norm      input, mean, 1/dev.    multiply       both inputs
//   linear          input                  dropout        mask [...] if rate > 0
//   attention       qkv, probabilities [B,heads,T,T], their mask if rate > 0
//   causal_conv1d   input                  cross_entropy  logits, targets, sums
//   gelu, relu, silu: input
// `input` is the shape of the operator's first input, `output` of its output; the other input of
// add, multiply and cross_entropy follows from them.
[[nodiscard]] SavedValues saved_values(const Operator& op, const Shape& input,
                                       const Shape& output);

// Which inputs and output an operator keeps, without shapes: the masks and elements are zero.
[[nodiscard]] SavedValues saved_values(const Operator& op);

// Every value that at least one of the operators keeps, ascending, each once. Data inputs among
// them are integers (8 bytes each); all others have activation width.
[[nodiscard]] std::vector<ValueIndex> kept_values(const Graph& graph,
                                                  std::span<const OperatorIndex> operators);

}  // namespace longhaul::proto
