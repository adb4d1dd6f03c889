// Checks the problem, calls the planner, and says why there is no plan.
#include "scheduler/planners/planning_problem.hpp"

#include "scheduler/memory_estimate.hpp"
#include "scheduler/planners/planners.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace longhaul::scheduler {
namespace {

// Where even all memory together is too little, that is the reason.
std::string too_little_memory(const PlanTables& tables) {
  const WorkloadTables& sums = tables.workload(0);
  double has = 0.0;
  for (const std::size_t d : tables.devices()) {
    has += static_cast<double>(tables.problem().fleet.devices[d].memory_bytes);
  }
  const double need = sums.state_bytes(0, sums.operators());
  if (need <= has) return {};
  const auto text = [](double bytes) { return human_bytes(static_cast<std::uint64_t>(bytes)); };
  return fmt::format(
      "memory: the model's state alone needs {}, and all devices together have {}: "
      "{} too little; more nodes, or nodes with more memory, would fit",
      text(need), text(has), text(need - has));
}

proto::Error no_plan(const PlanTables& tables, const RankedPlan& least_bad, PlannerKind planner) {
  std::string reason = too_little_memory(tables);
  if (reason.empty()) {
    const PipelineWork work = placement_work(tables, least_bad.placed);
    const double step_s = simulate(work).step_s;
    const PlanCost cost = placement_cost(tables, least_bad.placed, work, step_s);
    const std::vector<Breach> found = breaches(tables, least_bad.placed, work, cost, step_s);
    if (found.empty()) return {proto::ErrorKind::kInternal, "a plan that is refused, but holds"};
    const auto worst = std::ranges::max_element(found, {}, &Breach::amount);
    reason = describe(tables, least_bad.placed, work, *worst);
  }
  const char* only = planner == PlannerKind::kAuto || planner == PlannerKind::kExhaustive
                         ? ""
                         : " (the planner auto may find one)";
  return {proto::ErrorKind::kResource, fmt::format("planner {} finds no plan that holds{}: {}",
                                                   planner_name(planner), only, reason)};
}

}  // namespace

std::string_view planner_name(PlannerKind kind) {
  switch (kind) {
    case PlannerKind::kEqualOperators:
      return "equal-operators";
    case PlannerKind::kEqualCompute:
      return "equal-compute";
    case PlannerKind::kOpFence:
      return "op-fence";
    case PlannerKind::kDtFm:
      return "dt-fm";
    case PlannerKind::kExhaustive:
      return "exhaustive";
    case PlannerKind::kHybrid:
      return "hybrid";
    case PlannerKind::kDisaggregated:
      return "disaggregated";
    case PlannerKind::kAuto:
      return "auto";
  }
  return "";
}

proto::Result<PlacedPipeline> make_plan(const PlanningProblem& problem, PlannerKind planner,
                                        const PlannerBudget& budget) {
  if (auto good = check_problem(problem); !good) return good.error();
  const PlanTables tables(problem);
  PlannerContext context(tables);
  RankedPlan found;
  switch (planner) {
    case PlannerKind::kEqualOperators:
      found = plan_equal_operators(context);
      break;
    case PlannerKind::kEqualCompute:
      found = plan_equal_compute(context);
      break;
    case PlannerKind::kOpFence:
      found = plan_op_fence(context);
      break;
    case PlannerKind::kDtFm:
      found = plan_dt_fm(context);
      break;
    case PlannerKind::kExhaustive: {
      auto best = plan_exhaustive(context);
      if (!best) return best.error();
      found = std::move(*best);
      break;
    }
    case PlannerKind::kHybrid:
    case PlannerKind::kDisaggregated:
      return proto::configuration_error(
          fmt::format("planner {} spreads stages over several devices; ask for a grouped plan",
                      planner_name(planner)));
    case PlannerKind::kAuto:
      found = plan_auto(context, budget);
      break;
  }
  // What is exact but for rounding may break a cap by a rounding.
  if (found.standing.excess == 0.0) found.standing = context.evaluator.simulate(found.placed);
  if (found.standing.excess > 0.0) return no_plan(tables, found, planner);
  return std::move(found.placed);
}

}  // namespace longhaul::scheduler
