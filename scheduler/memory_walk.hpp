// One micro-batch's way through a stage, with sizes in place of tensors: what lives when.
#pragma once

#include "proto/graph.hpp"
#include "proto/job.hpp"
#include "proto/plan.hpp"

#include <algorithm>
#include <cstdint>
#include <span>

namespace longhaul::scheduler {

// Bytes that one micro-batch holds in the stage, without parameters and their gradients.
struct MicroBatchMemory {
  std::int64_t forward_peak = 0;          // at most, during its forward
  std::int64_t saved = 0;                 // from there to the start of its input gradients
  std::int64_t backward_input_peak = 0;   // at most, while input gradients are computed
  std::int64_t kept_for_weights = 0;      // from there to the start of its weight gradients
  std::int64_t backward_weight_peak = 0;  // at most, while weight gradients are computed

  [[nodiscard]] std::int64_t backward_peak() const {
    return std::max(backward_input_peak, backward_weight_peak);
  }
};

// Follows the worker's rules: a value lives until its last reader in the stage has run, or longer
// if an operator keeps it (proto/saved_values.hpp); received activations live through the forward,
// received gradients through the input-gradient pass; cross_entropy turns a linear's output that
// nobody else reads into its gradient in place, and copies other logits; add, add_position and
// dropout at rate 0 pass gradients on as they are. A stage that owes gradients to an earlier stage
// keeps the output gradients of operators with parameters, beside what their forward kept, until
// its weight-gradient pass; the others compute weight gradients on the way.
[[nodiscard]] MicroBatchMemory walk_micro_batch(const proto::Graph& graph, const proto::Plan& plan,
                                                proto::StageIndex stage,
                                                std::span<const proto::Shape> shapes,
                                                proto::Precision precision);

}  // namespace longhaul::scheduler
