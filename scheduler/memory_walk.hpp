// One micro-batch's way through a stage, with sizes in place of tensors: what lives when.
#pragma once

#include "proto/graph.hpp"
#include "proto/job.hpp"
#include "proto/plan.hpp"

#include <cstdint>
#include <span>

namespace longhaul::scheduler {

// Bytes that one micro-batch holds in the stage, without parameters and their gradients.
struct MicroBatchMemory {
  std::int64_t forward_peak = 0;   // at most, during its forward
  std::int64_t saved = 0;          // from the end of its forward to the start of its backward
  std::int64_t backward_peak = 0;  // at most, from the start of its backward to its end
};

// Follows the worker's rules: a value lives until its last reader in the stage has run, or longer
// if an operator keeps it (proto/saved_values.hpp); received activations live through the forward,
// received gradients through the input-gradient pass; cross_entropy turns a linear's output that
// nobody else reads into its gradient in place, and copies other logits; add, add_position and
// dropout at rate 0 pass gradients on as they are. A stage that owes gradients to an earlier stage
// keeps the output gradients of operators with parameters until its weight-gradient pass; the
// others compute weight gradients on the way.
[[nodiscard]] MicroBatchMemory walk_micro_batch(const proto::Graph& graph, const proto::Plan& plan,
                                                proto::StageIndex stage,
                                                std::span<const proto::Shape> shapes,
                                                proto::Precision precision);

}  // namespace longhaul::scheduler
