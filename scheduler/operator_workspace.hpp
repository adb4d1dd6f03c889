// The memory that one operator needs only while it runs, as formulas.
#pragma once

#include "proto/graph.hpp"
#include "proto/job.hpp"

#include <cstdint>
#include <span>

namespace longhaul::scheduler {

// Bytes at the operator's own peak beside its inputs, its output, what it keeps, the gradients of
// its output and inputs, and its parameters' gradient buffers. With a = activation width, N output
// elements, L logits in R rows, P = B * heads * T * T, Q = the padded input of a convolution,
// B * I * (T + K - 1), and W the elements of a weight:
//
//   fp32            forward                      input gradient        weight gradient
//   layer_norm      0                            0                     4 N
//   attention       a (4 N + T T + P)            a (7 N + 2 P)         0
//    with dropout   a (4 N + T T + 2 P)          a (7 N + 2 P)         0
//   causal_conv1d   a (2 Q + N)                  a (2 Q + N)           a (2 Q + N + W)
//   cross_entropy   16 R                         0                     0
//   the others      0                            0                     0
//
// Under bf16 the same with a = 2, but for what is computed in fp32 or converted on the way (masks
// to bf16, products to fp32 before they are accumulated; a CPU does that in a buffer, a GPU in
// registers, where the estimate is too high):
//
//   bf16            forward                      input gradient        weight gradient
//   embedding       0                            0                     4 N
//   add_position    0                            0                     4 N
//   layer_norm      8 N                          12 N                  12 N
//   linear          0                            0                     6 W
//   attention
//    with dropout   a (3 N + T T + 2 P           a (7 N + 3 P)         0
//                      + max(N, P))
//   dropout         a N                          a N                   0
//   cross_entropy   16 R + min(8 L, 2 MiB)       0                     0
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
