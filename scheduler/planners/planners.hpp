// The planners behind make_plan, and what they share.
#pragma once

#include "proto/error.hpp"
#include "scheduler/planners/cut_search.hpp"
#include "scheduler/planners/evaluator.hpp"

#include <cstddef>
#include <functional>
#include <span>
#include <vector>

namespace longhaul::scheduler {

struct PlannerContext {
  explicit PlannerContext(const PlanTables& all) : tables(all), evaluator(all), cuts(evaluator) {}

  const PlanTables& tables;
  Evaluator evaluator;
  CutSearch cuts;
};

// Each gives a placement with its standing, perhaps one that does not hold.

// As many operators on each device, devices in the fleet's order (the first with data first).
[[nodiscard]] RankedPlan plan_equal_operators(PlannerContext& context);
// As many FLOPs on each device, and among such splits few bytes at the cuts (contiguous_split).
[[nodiscard]] RankedPlan plan_equal_compute(PlannerContext& context);

// FusionLLM's OP-Fence: Louvain's communities of the devices by bandwidth; groups and the devices
// in them in an order of good links; cuts at thin edges where groups meet; inside a group split by
// compute; cuts refined by the estimate.
[[nodiscard]] RankedPlan plan_op_fence(PlannerContext& context);

// DT-FM's order of stages: the open-loop travelling salesman over delay + bytes / bandwidth there
// and back, and an equal split. DT-FM partitions devices into groups of data-parallel replicas,
// one group per stage: the group's cost max_i sum_j 2 (delay_ij + 8 GB / (bw_ij |group|)), the
// bottleneck matching of neighbouring groups' members, and its genetic search over partitions are
// not expressible here, where a stage has one device. With groups of one, the order is all that is
// left to search, and the salesman finds it.
[[nodiscard]] RankedPlan plan_dt_fm(PlannerContext& context);

// All ordered subsets of devices, all cuts, all settings, codecs by choose_codecs; those whose
// lower bound exceeds the best known are not simulated. kConfiguration: more than
// kExhaustivePlacements.
inline constexpr double kExhaustivePlacements = 3e6;
[[nodiscard]] proto::Result<RankedPlan> plan_exhaustive(PlannerContext& context);

// The best by simulation within the budget, never worse than the four heuristics above.
[[nodiscard]] RankedPlan plan_auto(PlannerContext& context, const PlannerBudget& budget);

// The devices of a plan that uses all it may, in the fleet's order: one with data first unless the
// order is kept; at most as many as there are operators.
[[nodiscard]] std::vector<std::size_t> devices_in_order(const PlanTables& tables);
// `order` within the constraints: cut to constraints.devices or the number of operators (what ends
// the order goes), sorted if the fleet's order is kept, else one with data brought to the front
// where the first operator needs data.
void keep_constraints(const PlanTables& tables, std::vector<std::size_t>& order);

// The first operators of so many parts with about equal FLOPs (contiguous_split).
[[nodiscard]] std::vector<std::size_t> equal_compute_firsts(const WorkloadTables& sums,
                                                            std::size_t parts);
// Stages in a row, from the firsts of contiguous_split.
[[nodiscard]] std::vector<PlacedStage> stages_at(const std::vector<std::size_t>& order,
                                                 std::span<const std::size_t> firsts,
                                                 std::size_t operators);

// Moves single cuts by `reach` operators and less while that betters the estimate, until nothing
// does or `enough` says so.
void refine_cuts(Evaluator& evaluator, RankedPlan& candidate, std::size_t reach,
                 const std::function<bool()>& enough);

}  // namespace longhaul::scheduler
