// Plans whose stages are groups of devices, and the planning problem in which a group is a device.
#pragma once

#include "proto/error.hpp"
#include "scheduler/groups/strategy.hpp"
#include "scheduler/planners/planning_problem.hpp"

#include <cstddef>
#include <vector>

namespace longhaul::scheduler {

struct StageGroup {
  std::vector<std::size_t> devices;  // of the fleet that was planned for
  std::vector<StrategyRun> runs;     // of the stage's operators

  [[nodiscard]] bool alone() const { return devices.size() == 1; }
};

struct GroupedPlan {
  // In which each group is one device: its node and host are those of the group's first device, its
  // times those of its strategies, exchanges included, its memory that of its fullest device. For
  // groups of one this is the problem that was asked.
  PlanningProblem problem;
  PlacedPipeline placed;           // on it
  std::vector<StageGroup> stages;  // as placed.stages

  // Workers execute one device per stage so far.
  [[nodiscard]] bool runs_today() const;
};

// A pipeline of single devices as such a plan.
[[nodiscard]] GroupedPlan as_grouped(const PlanningProblem& problem, const PlacedPipeline& placed);

// A plan that is given. `placed`: its stages' devices are numbers of `stages`, ascending from 0.
// kConfiguration: a group that is empty, spans sites or has a device twice; a strategy that is not
// for so many devices, has more replicas of the data than micro-batches have samples, or divides by
// both tensor and sequence; runs that are not as many operators as the stage has.
[[nodiscard]] proto::Result<GroupedPlan> given_groups(const PlanningProblem& problem,
                                                      const PlacedPipeline& placed,
                                                      std::vector<StageGroup> stages);

// By any planner: kHybrid and kDisaggregated may spread stages over several devices.
[[nodiscard]] proto::Result<GroupedPlan> make_grouped_plan(const PlanningProblem& problem,
                                                           PlannerKind planner,
                                                           const PlannerBudget& budget = {});

// Galvatron's search, generalised to unequal devices, uneven splits and any degree: the devices of
// each site are divided into groups of many sizes; a group is a device of the pipeline planners'
// problem, which order and cut; operators get strategies by spread_operators, within memory. With
// groups of one it is `auto`, so that hybrid is never worse. kConfiguration: constraints.devices,
// which counts devices, not stages.
[[nodiscard]] proto::Result<GroupedPlan> plan_hybrid(const PlanningProblem& problem,
                                                     const PlannerBudget& budget);

}  // namespace longhaul::scheduler
