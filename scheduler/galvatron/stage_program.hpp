// The cheapest strategies for the layers of one stage that fit into its memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace longhaul::scheduler::galvatron {

// All layers are alike. S strategies.
struct StageProblem {
  std::uint32_t layers = 1;
  std::uint64_t budget_mb = 0;
  std::span<const std::uint64_t> memory_mb;  // [S], of a layer; above 0
  std::span<const double> cost_s;            // [S], of a layer; above 0
  std::span<const double> transition_s;      // [S x S, row before, column after]; not negative,
                                             // and 0 from a strategy to itself
};

// One strategy per layer, with the least sum of costs and transitions among those whose memory
// fits; nullopt if none does. Of equal sums it is the one that the plain recurrence finds,
//   f_i(v, s) = min over s' of [f_{i-1}(v - memory(s), s') + transition(s', s)] + cost(s),
// taking the first s' and the first s of equals, computed in this order in double precision.
//
// The plain table has layers * budget * S entries. This one has those alone through which a plan as
// cheap as the best may pass: where memory has a price instead of a bound, the cheapest way to and
// from every entry is known at once, and gives a lower bound of all plans through it. Entries whose
// bound is above the cost of a plan that is known are left out.
[[nodiscard]] std::optional<std::vector<std::size_t>> cheapest_strategies(
    const StageProblem& problem);

}  // namespace longhaul::scheduler::galvatron
