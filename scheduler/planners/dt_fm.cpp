// A tour of the devices, and an equal split along it.
#include "scheduler/planners/device_groups.hpp"
#include "scheduler/planners/planners.hpp"

#include <algorithm>

namespace longhaul::scheduler {

RankedPlan plan_dt_fm(PlannerContext& context) {
  const PlanTables& tables = context.tables;
  const WorkloadTables& sums = tables.workload(0);
  std::vector<std::size_t> devices = devices_in_order(tables);
  const auto cuts = sums.cut_bytes();
  double bytes = 0.0;
  for (const double cut : cuts) bytes += cut / static_cast<double>(cuts.size());
  std::vector<std::size_t> order;
  for (const std::size_t place : open_tour(edge_costs(tables.problem().fleet, devices, bytes))) {
    order.push_back(devices[place]);
  }
  const auto& fleet = tables.problem().fleet;
  if (!fleet.devices[order.front()].has_data && fleet.devices[order.back()].has_data) {
    std::ranges::reverse(order);
  }
  keep_constraints(tables, order);
  return context.evaluator.with_best_settings(
      stages_at(order, equal_compute_firsts(sums, order.size()), sums.operators()));
}

}  // namespace longhaul::scheduler
