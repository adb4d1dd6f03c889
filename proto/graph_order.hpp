// The one topological order of a graph, or the cycle that forbids it.
#pragma once

#include <cstdint>
#include <vector>

namespace longhaul::proto {

struct TopologicalOrder {
  std::vector<std::uint32_t> order;  // every node, if there is no cycle
  std::vector<std::uint32_t> cycle;  // else one cycle, lowest first: each reads the one before
};

// `reads[n]` lists the nodes whose output node n reads, duplicates allowed. Of the nodes that are
// ready the lowest goes first, so that an order that is topological already stays as it is.
// O((nodes + edges) log nodes), without recursion.
[[nodiscard]] TopologicalOrder topological_order(
    const std::vector<std::vector<std::uint32_t>>& reads);

}  // namespace longhaul::proto
