// The planner of equal shares: every node gets one stage, and all stages about the same arithmetic.
#pragma once

#include "proto/graph.hpp"
#include "proto/plan.hpp"
#include "scheduler/memory_estimate.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace longhaul::scheduler {

// A device of a node that may host a stage.
struct Candidate {
  std::string node;
  std::string device;              // "cpu" or "cuda:N"
  std::uint32_t threads = 1;       // for a cpu device
  std::uint64_t memory_bytes = 0;  // that a stage may use
  bool has_data = false;           // holds the job's tokens
};

struct EqualComputeOptions {
  proto::ShapeBinding binding;  // sequences in a micro-batch, tokens in a sequence
  proto::ScheduleKind schedule = proto::ScheduleKind::kOneForwardOneBackward;
  std::uint32_t run_ahead = 0;  // ScheduleShape's
  std::uint32_t micro_batches = 1;
  MemoryOptions memory = {};
  proto::PlanEpoch epoch = {};
};

// Splits the graph's topological order into one contiguous stage per candidate so that the largest
// stage has the fewest FLOPs (operator_costs.hpp), and among the splits within 3 % of that takes
// one that cuts the fewest bytes: every value made before a cut and read after it counts there.
// Stages go to the candidates in their order, but that the first one with data comes first; a later
// stage whose node has no data receives targets as integers.
// Errors: no candidate, more candidates than operators, or none with data (kConfiguration); shapes
// that do not fit (as infer_shapes); a stage that needs more memory than its node has (kResource),
// which names stage, node, need by category, and what would help.
[[nodiscard]] proto::Result<proto::Plan> equal_compute(const proto::Graph& graph,
                                                       const std::vector<Candidate>& candidates,
                                                       const EqualComputeOptions& options);

}  // namespace longhaul::scheduler
