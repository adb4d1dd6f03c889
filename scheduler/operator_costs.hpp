// What one operator costs for one micro-batch, as formulas: arithmetic, parameters, bytes.
#pragma once

#include "proto/graph.hpp"
#include "proto/job.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace longhaul::scheduler {

// Floating-point operations are those that the worker executes; a multiply-add counts as two and a
// transcendental function as eight. N: elements of the output, R = N / last extent its rows,
// P = B * heads * T * T the attention probabilities, C the attention's width.
//
//   kind               forward          input gradient   weight gradient
//   embedding          0                0                N
//   add_position       N                0                N
//   layer_norm         8 N              11 N             6 N
//   linear             2 R I O (+ N)    2 R I O          2 R I O (+ N)     (with bias)
//   attention          4 B T T C        8 B T T C        0
//                      + 12 P (+ 2 P)   + 6 P (+ 4 P)                      (with dropout)
//   gelu               14 N             20 N             0
//   relu               N                N                0
//   silu               10 N             13 N             0
//   tanh               8 N              3 N              0
//   sigmoid            10 N             3 N              0
//   add                N                N                0
//   multiply           N                2 N              0
//   dropout            2 N (rate > 0)   2 N (rate > 0)   0
//   causal_conv1d      2 R I O K (+ N)  2 R I O K        2 R I O K (+ N)   (with bias)
//   cross_entropy      12 L             3 L              0                 (L: logits)
struct OperatorCosts {
  double forward_flops = 0;
  double input_gradient_flops = 0;
  double weight_gradient_flops = 0;
  std::int64_t parameters = 0;    // elements; a tied parameter counts with each of its operators
  std::int64_t output_bytes = 0;  // activation width; cross_entropy's scalar is fp32
  // Kept until the backward (proto/saved_values.hpp), as if no other operator kept the same
  // values: sums over operators are an upper bound, memory_estimate.hpp counts each value once.
  std::int64_t saved_bytes = 0;

  [[nodiscard]] double flops() const {
    return forward_flops + input_gradient_flops + weight_gradient_flops;
  }
};

// `shapes` as infer_shapes gives them for the graph.
[[nodiscard]] OperatorCosts operator_costs(const proto::Graph& graph, proto::OperatorIndex op,
                                           std::span<const proto::Shape> shapes,
                                           proto::Precision precision);

// Bytes of a value: 8 per element of a data input, 4 for the loss, else the activation width.
[[nodiscard]] std::int64_t value_bytes(const proto::Graph& graph, proto::ValueIndex value,
                                       std::span<const proto::Shape> shapes,
                                       proto::Precision precision);

// Bytes of what the operator keeps beside whole values: probabilities, masks, statistics.
[[nodiscard]] std::int64_t saved_extra_bytes(const proto::Graph& graph, proto::OperatorIndex op,
                                             std::span<const proto::Shape> shapes,
                                             proto::Precision precision);

}  // namespace longhaul::scheduler
