// Plans that are given, and the choice of a planner.
#include "scheduler/groups/grouped_plan.hpp"

#include "proto/text.hpp"
#include "scheduler/groups/grouped_problem.hpp"
#include "scheduler/groups/units_of_problem.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace longhaul::scheduler {
namespace {

proto::Error wrong(std::size_t stage, const std::string& what) {
  return proto::configuration_error(fmt::format("plan: stage {} {}", stage, what));
}

proto::Result<void> check_group(const PlanningProblem& problem, const StageGroup& group,
                                std::size_t stage, std::set<std::size_t>& used) {
  const Fleet& fleet = problem.fleet;
  if (group.devices.empty()) return wrong(stage, "has no device");
  for (const std::size_t d : group.devices) {
    if (!used.insert(d).second) {
      return wrong(stage, fmt::format("has device {} of node {}, which is used twice",
                                      proto::quoted(fleet.devices[d].device),
                                      proto::quoted(fleet.devices[d].node)));
    }
    if (problem.constraints.excluded_nodes.contains(fleet.devices[d].node)) {
      return wrong(stage, fmt::format("is on node {}, which is excluded",
                                      proto::quoted(fleet.devices[d].node)));
    }
    if (fleet.site_of(d) != fleet.site_of(group.devices.front())) {
      return wrong(stage, "spans sites; a group of devices lies inside one");
    }
  }
  return {};
}

}  // namespace

bool GroupedPlan::runs_today() const { return std::ranges::all_of(stages, &StageGroup::alone); }

GroupedPlan as_grouped(const PlanningProblem& problem, const PlacedPipeline& placed) {
  GroupedPlan plan{.problem = problem, .placed = placed, .stages = {}};
  for (const PlacedStage& stage : placed.stages) {
    plan.stages.push_back({.devices = {stage.device}, .runs = {{stage.end - stage.first, {}}}});
  }
  return plan;
}

proto::Result<GroupedPlan> given_groups(const PlanningProblem& problem,
                                        const PlacedPipeline& placed,
                                        std::vector<StageGroup> stages) {
  std::set<std::size_t> used;
  Groups groups;
  for (std::size_t s = 0; s < stages.size(); ++s) {
    if (auto good = check_group(problem, stages[s], s, used); !good) return good.error();
    groups.push_back(stages[s].devices);
  }
  GroupedProblem grouped(std::make_shared<const PlanningProblem>(problem), groups);
  for (std::size_t s = 0; s < stages.size(); ++s) {
    const PlacedStage& placed_stage = placed.stages[s];
    const std::size_t operators = placed_stage.end - placed_stage.first;
    if (stages[s].alone()) {
      const bool plain = std::ranges::all_of(
          stages[s].runs, [](const StrategyRun& run) { return run.strategy == GroupStrategy{}; });
      if (!plain) return wrong(s, "has one device and a strategy for more, or checkpoints");
      continue;
    }
    const GroupCosts& costs = grouped.costs(placed.workload, s);
    std::vector<std::size_t> chosen(problem.workloads[placed.workload].operators.size());
    std::size_t op = placed_stage.first;
    for (const StrategyRun& run : stages[s].runs) {
      const std::size_t index = costs.index_of(run.strategy);
      if (index == costs.strategies().size()) {
        return wrong(s, fmt::format("has {} devices, and no such strategy: {}",
                                    stages[s].devices.size(), strategy_text(run.strategy)));
      }
      if (run.operators > placed_stage.end - op) {
        return wrong(s, fmt::format("has strategies for more than its {} operators", operators));
      }
      std::fill_n(chosen.begin() + static_cast<std::ptrdiff_t>(op), run.operators, index);
      op += run.operators;
    }
    if (op != placed_stage.end) {
      return wrong(s, fmt::format("has strategies for {} of {} operators", op - placed_stage.first,
                                  operators));
    }
    grouped.set(placed.workload, s, std::move(chosen));
  }
  return grouped.plan(grouped.exact(placed), placed);
}

proto::Result<GroupedPlan> make_grouped_plan(const PlanningProblem& problem, PlannerKind planner,
                                             const PlannerBudget& budget) {
  if (planner == PlannerKind::kHybrid) return plan_hybrid(problem, budget);
  if (planner == PlannerKind::kDisaggregated) return plan_disaggregated(problem);
  const auto placed = make_plan(problem, planner, budget);
  if (!placed) return placed.error();
  return as_grouped(problem, *placed);
}

}  // namespace longhaul::scheduler
