// The memory that one operator needs only while it runs, as formulas.
#pragma once

#include "proto/graph.hpp"
#include "proto/job.hpp"

#include <cstdint>
#include <span>

namespace longhaul::scheduler {

// Bytes at the operator's own peak beside its inputs, its output, what it keeps, the gradients of
// its output and inputs, and its parameters' gradient buffers. With a = activation width, N output
// elements, P = B * heads * T * T, Q = the padded input of a convolution, B * I * (T + K - 1), and
// W the elements of a weight:
//
//   kind            forward                      input gradient        weight gradient
//   layer_norm      8 N (bf16)                   12 N (bf16)           4 N; 12 N (bf16)
//   linear          0                            0                     0; 2 W (bf16)
//   attention       a (4 N + T T + P (+ P))      a (7 N + 2 P)         0
//   causal_conv1d   a (2 Q + N)                  a (2 Q + N)           a (2 Q + N + W)
//   embedding       0                            0                     0; 4 N (bf16)
//   add_position    0                            0                     0; 4 N (bf16)
//   the others      0                            0                     0
// (+ P): with dropout.
struct OperatorWorkspace {
  std::int64_t forward = 0;
  std::int64_t input_gradient = 0;
  std::int64_t weight_gradient = 0;
};

[[nodiscard]] OperatorWorkspace operator_workspace(const proto::Graph& graph,
                                                   proto::OperatorIndex op,
                                                   std::span<const proto::Shape> shapes,
                                                   proto::Precision precision);

}  // namespace longhaul::scheduler
