// Which strategy each operator of a group gets.
#pragma once

#include "scheduler/groups/group_costs.hpp"

#include <cstddef>
#include <vector>

namespace longhaul::scheduler {

struct SpreadOptions {
  double micro_batches = 1.0;  // of a step
  double in_flight = 1.0;      // of them, that keep activations
  // What a byte on the group's fullest device costs, in seconds of a step.
  double price_s_per_byte = 0.0;
};

// Of each operator of the model an index into strategies(): the least sum of time per step and
// priced memory over all choices, exchanges between unlike neighbours included. Galvatron's
// dynamic program over layers and strategies, with a price of memory (a Lagrange multiplier) in
// place of its table over megabytes, so that operators need not be alike; a price that is too low
// or high shows in the memory, and the caller searches for it. O(operators * strategies).
[[nodiscard]] std::vector<std::size_t> spread_operators(const GroupCosts& costs,
                                                        const SpreadOptions& options);

// What the group's device keeps under `chosen` for operators [first, end), if one device for all
// would need `whole`: each category by its operators' shares. A checkpointed run keeps its inputs,
// and while it is computed again its values once. Gathered parameters and their gradients are
// workspace, of the largest operator.
[[nodiscard]] MemoryEstimate spread_memory(const GroupCosts& costs,
                                           const std::vector<std::size_t>& chosen,
                                           std::size_t first, std::size_t end,
                                           const MemoryEstimate& whole, std::size_t device);

}  // namespace longhaul::scheduler
