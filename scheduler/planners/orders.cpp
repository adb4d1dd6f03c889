// Orders of devices within the constraints, and the refinement of cuts.
#include "scheduler/planners/planners.hpp"

#include <algorithm>

namespace longhaul::scheduler {

void keep_constraints(const PlanTables& tables, std::vector<std::size_t>& order) {
  const PlanningProblem& problem = tables.problem();
  const std::size_t most = problem.constraints.devices > 0
                               ? problem.constraints.devices
                               : std::min(tables.operators(), order.size());
  const auto has_data = [&](std::size_t d) { return problem.fleet.devices[d].has_data; };
  const bool starts_with_data = tables.workload(0).needs_data(0, 1);
  if (!problem.constraints.keep_order && starts_with_data) {
    const auto first = std::ranges::find_if(order, has_data);
    if (first != order.end()) std::rotate(order.begin(), first, first + 1);
  }
  for (const std::size_t device : tables.devices()) {  // as many as are asked for
    if (order.size() >= most) break;
    if (std::ranges::find(order, device) == order.end()) order.push_back(device);
  }
  if (order.size() > most) order.resize(most);
  if (problem.constraints.keep_order) std::ranges::sort(order);
}

std::vector<std::size_t> devices_in_order(const PlanTables& tables) {
  std::vector<std::size_t> order = tables.devices();
  keep_constraints(tables, order);
  return order;
}

std::vector<PlacedStage> stages_at(const std::vector<std::size_t>& order,
                                   std::span<const std::size_t> firsts, std::size_t operators) {
  std::vector<PlacedStage> stages;
  for (std::size_t s = 0; s < order.size(); ++s) {
    stages.push_back({.device = order[s],
                      .first = firsts[s],
                      .end = s + 1 < order.size() ? firsts[s + 1] : operators});
  }
  return stages;
}

void refine_cuts(Evaluator& evaluator, RankedPlan& candidate, std::size_t reach,
                 const std::function<bool()>& enough) {
  const auto try_move = [&](std::size_t s, std::size_t distance, bool later) {
    PlacedPipeline moved = candidate.placed;
    PlacedStage& left = moved.stages[s];
    PlacedStage& right = moved.stages[s + 1];
    if (later ? right.end - right.first <= distance : left.end - left.first <= distance) {
      return false;
    }
    left.end = right.first = later ? left.end + distance : left.end - distance;
    const Standing standing = evaluator.estimate(moved);
    if (!standing.better_than(candidate.standing)) return false;
    candidate = {.placed = std::move(moved), .standing = standing};
    return true;
  };
  bool better = true;
  while (better) {
    better = false;
    for (std::size_t distance = std::max<std::size_t>(1, reach); distance > 0; distance /= 2) {
      for (std::size_t s = 0; s + 1 < candidate.placed.stages.size(); ++s) {
        if (enough()) return;
        better |= try_move(s, distance, false) || try_move(s, distance, true);
      }
    }
  }
}

}  // namespace longhaul::scheduler
