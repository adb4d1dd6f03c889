// A placement's memory by the estimate that the worker's admission uses.
#pragma once

#include "proto/graph.hpp"
#include "proto/plan.hpp"
#include "scheduler/memory_estimate.hpp"
#include "scheduler/planners/planning_problem.hpp"

#include <cstdint>

namespace longhaul::scheduler {

// The plan of a placement, epoch 0.
[[nodiscard]] proto::Plan plan_of(const PlanningProblem& problem, const PlacedPipeline& placed);

struct PlacedMemoryOptions {
  MemoryOptions memory;
  std::int64_t sequence = 0;  // tokens
};

// estimate_memory of the graph, which is copied, for stages of problems of this model and batch.
// Remembers what it has estimated; for one thread. Requires that infer_shapes takes the graph at
// the micro-batch size of each of the problem's workloads.
[[nodiscard]] StageMemoryOf placed_memory(const proto::Graph& graph, const PlanningProblem& problem,
                                          const PlacedMemoryOptions& options);

}  // namespace longhaul::scheduler
