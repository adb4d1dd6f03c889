// Kahn's algorithm with a heap, and a walk backwards for the cycle.
#include "proto/graph_order.hpp"

#include "proto/assert.hpp"

#include <algorithm>
#include <functional>
#include <queue>

namespace longhaul::proto {
namespace {

// Every node that is left has an unplaced node among those it reads, so that walking from reader
// to read must come back to a node seen before.
std::vector<std::uint32_t> find_cycle(const std::vector<std::vector<std::uint32_t>>& reads,
                                      const std::vector<std::size_t>& missing) {
  const auto unplaced = [&](std::uint32_t node) { return missing[node] > 0; };
  const auto start = std::find_if(missing.begin(), missing.end(), [](auto m) { return m > 0; });
  LONGHAUL_ASSERT(start != missing.end());
  auto node = static_cast<std::uint32_t>(start - missing.begin());
  std::vector<bool> seen(reads.size());
  std::vector<std::uint32_t> path;
  while (!seen[node]) {
    seen[node] = true;
    path.push_back(node);
    const auto next = std::find_if(reads[node].begin(), reads[node].end(), unplaced);
    LONGHAUL_ASSERT(next != reads[node].end());
    node = *next;
  }
  path.erase(path.begin(), std::find(path.begin(), path.end(), node));
  std::reverse(path.begin(), path.end());
  std::rotate(path.begin(), std::min_element(path.begin(), path.end()), path.end());
  return path;
}

}  // namespace

TopologicalOrder topological_order(const std::vector<std::vector<std::uint32_t>>& reads) {
  std::vector<std::size_t> missing(reads.size());  // inputs that are not placed yet
  std::vector<std::vector<std::uint32_t>> readers(reads.size());
  std::priority_queue<std::uint32_t, std::vector<std::uint32_t>, std::greater<>> ready;
  for (std::uint32_t node = 0; node < reads.size(); ++node) {
    missing[node] = reads[node].size();
    for (const std::uint32_t read : reads[node]) readers[read].push_back(node);
    if (missing[node] == 0) ready.push(node);
  }
  TopologicalOrder result;
  result.order.reserve(reads.size());
  while (!ready.empty()) {
    const std::uint32_t node = ready.top();
    ready.pop();
    result.order.push_back(node);
    for (const std::uint32_t reader : readers[node]) {
      if (--missing[reader] == 0) ready.push(reader);
    }
  }
  if (result.order.size() < reads.size()) {
    result.order.clear();
    result.cycle = find_cycle(reads, missing);
  }
  return result;
}

}  // namespace longhaul::proto
