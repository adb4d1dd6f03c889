// Small random problems of units, every plan of which can be tried, and that trial.
#pragma once

#include "scheduler/disaggregated/units.hpp"

#include <cstdint>
#include <limits>

namespace longhaul::scheduler {

// One to four units, one or two pools, 2 to 24 devices, odd tensor degrees, some with
// recomputation, memory that is often tight, samples that can be cut at will or into few pieces.
// The same seed, the same problem.
[[nodiscard]] UnitsProblem random_units(std::uint64_t seed);

// The least step_s of all plans, and how many plans fit; infinite if none does. Written from
// the formulas of units.hpp without its code: every option of every unit, every pipeline degree,
// every number of replicas.
struct Trial {
  double step_s = std::numeric_limits<double>::infinity();
  std::uint64_t plans = 0;
};
[[nodiscard]] Trial try_every_plan(const UnitsProblem& problem);

}  // namespace longhaul::scheduler
