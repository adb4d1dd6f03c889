// Why no plan of units fits its devices, and what would make one fit.
#pragma once

#include "scheduler/disaggregated/units.hpp"

namespace longhaul::scheduler {

// kResource, for a problem for which no plan exists. Either a unit needs more memory per device
// than a pool has, whatever its degrees and however many devices: names the unit, its least need by
// category, and the excess. Or all units fit, but on more devices than there are: names the least
// number, unit by unit, and how many are missing. Then the ways out: devices, memory per device, a
// smaller micro-batch; each only if it suffices alone.
[[nodiscard]] proto::Error why_infeasible(const UnitsProblem& problem);

}  // namespace longhaul::scheduler
