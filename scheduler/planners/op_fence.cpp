// Groups, their order, thin edges between them, balance within them.
#include "scheduler/planners/device_groups.hpp"
#include "scheduler/planners/planners.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace longhaul::scheduler {
namespace {

// How far a cut between groups may be from where compute is balanced, of the smaller group's share.
constexpr double kFenceShare = 0.15;
constexpr std::size_t kRefinements = 400;

double mean_cut_bytes(const WorkloadTables& sums) {
  double sum = 0.0;
  for (const double bytes : sums.cut_bytes()) sum += bytes;
  return sum / static_cast<double>(sums.operators());
}

std::vector<std::size_t> along_good_links(const Fleet& fleet, std::vector<std::size_t> devices,
                                          double bytes) {
  std::vector<std::size_t> order;
  for (const std::size_t place : open_tour(edge_costs(fleet, devices, bytes))) {
    order.push_back(devices[place]);
  }
  return order;
}

// Groups so that neighbours have good links on average; one with data first.
void order_groups(const Fleet& fleet, double bytes, bool starts_with_data,
                  std::vector<std::vector<std::size_t>>& groups) {
  const std::size_t count = groups.size();
  TourCosts costs{.size = count, .costs = std::vector<double>(count * count)};
  for (std::size_t a = 0; a < count; ++a) {
    for (std::size_t b = a + 1; b < count; ++b) {
      double sum = 0.0;
      for (const std::size_t from : groups[a]) {
        for (const std::size_t to : groups[b]) {
          for (const FleetPath* path : {&fleet.path(from, to), &fleet.path(to, from)}) {
            sum += path->delay_s + bytes / path->bytes_per_s;
          }
        }
      }
      costs.costs[a * count + b] = costs.costs[b * count + a] =
          sum / static_cast<double>(groups[a].size() * groups[b].size());
    }
  }
  std::vector<std::vector<std::size_t>> ordered;
  for (const std::size_t place : open_tour(costs)) ordered.push_back(groups[place]);
  const auto has_data = [&](const std::vector<std::size_t>& group) {
    return std::ranges::any_of(group, [&](std::size_t d) { return fleet.devices[d].has_data; });
  };
  if (starts_with_data && !has_data(ordered.front())) {
    if (has_data(ordered.back())) {
      std::ranges::reverse(ordered);
    } else if (const auto first = std::ranges::find_if(ordered, has_data); first != ordered.end()) {
      std::rotate(ordered.begin(), first, first + 1);
    }
  }
  groups = std::move(ordered);
}

// The end of each group's share of the operators: near where compute is in proportion to the
// groups' speeds, where the fewest bytes cross.
std::vector<std::size_t> fences(const WorkloadTables& sums,
                                const std::vector<std::vector<std::size_t>>& groups) {
  const std::size_t operators = sums.operators();
  std::vector<double> speeds;
  double all = 0.0;
  for (const auto& group : groups) {
    double speed = 0.0;
    for (const std::size_t d : group)
      speed += 1.0 / std::max(sums.time(d, 0, operators).sum(), 1e-300);
    speeds.push_back(speed);
    all += speed;
  }
  const auto done = sums.total_s(groups.front().front());
  const double whole = std::max(done.back(), 1e-300);
  std::vector<std::size_t> ends;
  double share = 0.0;
  std::size_t first = 0;
  std::size_t devices_left = 0;
  for (const auto& group : groups) devices_left += group.size();
  for (std::size_t g = 0; g + 1 < groups.size(); ++g) {
    share += speeds[g] / all;
    devices_left -= groups[g].size();
    const std::size_t low = first + groups[g].size();
    const std::size_t high = operators - devices_left;
    const double slack = kFenceShare * std::min(speeds[g], speeds[g + 1]) / all;
    std::size_t best = low;
    double best_bytes = std::numeric_limits<double>::infinity();
    double best_off = std::numeric_limits<double>::infinity();
    for (std::size_t end = low; end <= high; ++end) {
      const double off = std::abs(done[end] / whole - share);
      const double bytes = sums.cut_bytes()[end];
      const bool near = off <= slack;
      const bool best_near = best_off <= slack;
      if (near != best_near
              ? near
              : (near ? std::pair(bytes, off) < std::pair(best_bytes, best_off) : off < best_off)) {
        best = end;
        best_bytes = bytes;
        best_off = off;
      }
    }
    ends.push_back(first = best);
  }
  ends.push_back(operators);
  return ends;
}

EndRanges ranges_of(const std::vector<std::vector<std::size_t>>& groups,
                    const std::vector<std::size_t>& ends, std::size_t operators) {
  EndRanges ranges;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    for (std::size_t i = 0; i < groups[g].size(); ++i) {
      const bool last = i + 1 == groups[g].size();
      ranges.emplace_back(last ? ends[g] : 0, last ? ends[g] : operators);
    }
  }
  return ranges;
}

}  // namespace

RankedPlan plan_op_fence(PlannerContext& context) {
  const PlanTables& tables = context.tables;
  const PlanningProblem& problem = tables.problem();
  const WorkloadTables& sums = tables.workload(0);
  const std::vector<std::size_t> devices = devices_in_order(tables);
  const double bytes = mean_cut_bytes(sums);
  const bool starts_with_data = sums.needs_data(0, 1);
  std::vector<std::vector<std::size_t>> groups{devices};
  if (!problem.constraints.keep_order) {
    groups = bandwidth_communities(problem.fleet, devices);
    order_groups(problem.fleet, bytes, starts_with_data, groups);
    for (auto& group : groups) group = along_good_links(problem.fleet, group, bytes);
    if (starts_with_data) {
      auto& first = groups.front();
      const auto with_data = std::ranges::find_if(
          first, [&](std::size_t d) { return problem.fleet.devices[d].has_data; });
      if (with_data != first.end()) std::rotate(first.begin(), with_data, with_data + 1);
    }
  }
  std::vector<std::size_t> order;
  for (const auto& group : groups) order.insert(order.end(), group.begin(), group.end());
  const std::vector<std::size_t> ends = fences(sums, groups);
  const EndRanges ranges = ranges_of(groups, ends, sums.operators());
  RankedPlan best;
  for (const Settings& settings : context.evaluator.settings()) {
    RankedPlan candidate = context.cuts.best(order, settings, CutSearch::Effort::kQuick, &ranges);
    if (candidate.standing.better_than(best.standing)) best = std::move(candidate);
  }
  if (best.placed.stages.empty()) {
    best =
        context.cuts.best(order, context.evaluator.settings().front(), CutSearch::Effort::kQuick);
  }
  std::size_t left = kRefinements;
  refine_cuts(context.evaluator, best, 4, [&] { return left-- == 0; });
  return context.evaluator.with_best_settings(best.placed.stages);
}

}  // namespace longhaul::scheduler
