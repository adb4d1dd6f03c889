// The planner of disaggregated units: how many devices, and which degrees, each unit of a model
// gets.
#pragma once

#include "scheduler/disaggregated/units.hpp"

#include <cstddef>
#include <vector>

namespace longhaul::scheduler {

struct DisaggregatedPlans {
  std::vector<UnitsPlan> best_first;  // no two with the same options, data degree of the backbone
                                      // and pipeline degree
  std::size_t backbone_cases = 0;     // pool and degrees of the backbone that fit; each has a bound
  std::size_t searched = 0;  // choices of all pools and degrees whose replicas were searched
};

// The `keep` best plans, or all if there are fewer: their step_s is the least that the formula of
// UnitsPlan has over all choices of options, data degrees that divide batch /
// micro_batch, pipeline degrees and replicas. Not a near one: the search is exact (to rounding).
// A pipeline degree that makes the fullest stage no smaller than a lower degree is not tried.
// Errors: as check_problem (kConfiguration); nothing fits (kResource): which constraint fails, by
// how much, and what would make it fit.
[[nodiscard]] proto::Result<DisaggregatedPlans> disaggregated_plans(const UnitsProblem& problem,
                                                                    std::size_t keep = 1);

// The best plan that is built as Megatron-LM builds it: one pool, one tensor degree and one data
// degree for all units, every unit but the backbone being one more pipeline stage. By the same
// formula and the same memory. Errors: as above; the way out is shorter.
[[nodiscard]] proto::Result<UnitsPlan> uniform_plan(const UnitsProblem& problem);

// The pipeline degrees worth trying: for every size of the fullest stage the lowest one. Ascending.
[[nodiscard]] std::vector<std::uint32_t> pipeline_degrees(std::uint32_t layers);

// Ascending.
[[nodiscard]] std::vector<std::uint32_t> divisors(std::uint32_t number);

}  // namespace longhaul::scheduler
