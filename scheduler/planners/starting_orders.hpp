// Orders of devices from which the search begins.
#pragma once

#include "scheduler/planners/plan_tables.hpp"

#include <cstddef>
#include <vector>

namespace longhaul::scheduler {

// All within the constraints and different, in no order that means anything: of few devices all
// ordered subsets; else chains of sites (all subsets of up to eight, beyond that grown from each
// site along good links) with the devices of each site in a row, all of them or only the faster
// kinds; and single devices.
[[nodiscard]] std::vector<std::vector<std::size_t>> starting_orders(const PlanTables& tables);

}  // namespace longhaul::scheduler
