// Units of a model by its operators' names, and DistTrain's orchestration of them on a fleet.
#pragma once

#include "proto/error.hpp"
#include "scheduler/groups/grouped_plan.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace longhaul::scheduler {

// Operators [first, end) of one unit.
struct NamedUnit {
  std::string name;
  std::size_t first = 0;
  std::size_t end = 0;
};

// A unit's name is what an operator's id has before its first '/': "encoder/h.0.ln_1". Operators
// without one belong to the unit before them (or, at the start, to the first unit). kConfiguration:
// fewer than two units, or a unit whose operators are not in a row.
[[nodiscard]] proto::Result<std::vector<NamedUnit>> units_of(const Workload& workload);

// DistTrain (scheduler/disaggregated): devices of one kind and site are a pool; every unit gets a
// pool, a tensor degree (1, 2, 4, ...) and replicas, the backbone (the unit with most FLOPs) stages
// of a pipeline, too. Replicas of the backbone times their samples are a micro-batch; moments are
// divided among replicas, and whole samples dealt out. Of the best plans of the formula, with and
// without checkpoints and for each way to divide a micro-batch, the simulator takes the best that
// holds. Errors: as units_of and check_problem; kResource where none holds; kConfiguration for
// constraints.devices and pins, which it does not take.
[[nodiscard]] proto::Result<GroupedPlan> plan_disaggregated(const PlanningProblem& problem);

}  // namespace longhaul::scheduler
