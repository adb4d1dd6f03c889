// The two planners that know neither devices nor links.
#include "scheduler/contiguous_split.hpp"
#include "scheduler/planners/planners.hpp"

#include <cmath>

namespace longhaul::scheduler {

RankedPlan plan_equal_operators(PlannerContext& context) {
  const std::vector<std::size_t> order = devices_in_order(context.tables);
  const std::size_t operators = context.tables.operators();
  std::vector<std::size_t> firsts;
  for (std::size_t s = 0; s < order.size(); ++s) firsts.push_back(s * operators / order.size());
  return context.evaluator.with_best_settings(stages_at(order, firsts, operators));
}

std::vector<std::size_t> equal_compute_firsts(const WorkloadTables& sums, std::size_t parts) {
  std::vector<double> flops;
  std::vector<std::int64_t> cuts;
  for (const WorkloadOperator& op : sums.workload().operators) flops.push_back(op.flops);
  for (const double bytes : sums.cut_bytes()) cuts.push_back(std::llround(std::min(bytes, 1e15)));
  return contiguous_split({.costs = flops, .cut_bytes = cuts, .parts = parts});
}

RankedPlan plan_equal_compute(PlannerContext& context) {
  const std::vector<std::size_t> order = devices_in_order(context.tables);
  const WorkloadTables& sums = context.tables.workload(0);
  return context.evaluator.with_best_settings(
      stages_at(order, equal_compute_firsts(sums, order.size()), sums.operators()));
}

}  // namespace longhaul::scheduler
