// Two dynamic programs over cut positions: smallest largest part, then fewest bytes under a cap.
#include "scheduler/contiguous_split.hpp"

#include "proto/assert.hpp"

#include <algorithm>
#include <deque>
#include <limits>
#include <optional>

namespace longhaul::scheduler {
namespace {

std::vector<double> prefix_sums(std::span<const double> costs) {
  std::vector<double> sums(costs.size() + 1);
  for (std::size_t i = 0; i < costs.size(); ++i) sums[i + 1] = sums[i] + costs[i];
  return sums;
}

struct CappedSplit {
  std::int64_t bytes = 0;
  std::vector<std::size_t> firsts;
};

// best[i] for k parts: the fewest bytes that cut items [0, i) into k parts of at most `cap` each.
// The j that may end part k - 1 form a window that only moves up with i: a queue of candidates in
// ascending order of bytes finds the best of the window in constant time.
std::optional<CappedSplit> fewest_bytes(const SplitProblem& problem,
                                        const std::vector<double>& sums, double cap) {
  constexpr std::int64_t kImpossible = std::numeric_limits<std::int64_t>::max();
  const std::size_t items = problem.costs.size();
  std::vector<std::int64_t> best(items + 1, kImpossible);
  best[0] = 0;
  std::vector<std::vector<std::uint32_t>> chosen(problem.parts,
                                                 std::vector<std::uint32_t>(items + 1));
  for (std::size_t part = 0; part < problem.parts; ++part) {
    std::vector<std::int64_t> next(items + 1, kImpossible);
    const auto bytes_from = [&](std::size_t j) {
      return best[j] + (j == 0 ? 0 : problem.cut_bytes[j]);
    };
    std::deque<std::size_t> window;
    for (std::size_t i = 1; i <= items; ++i) {
      if (best[i - 1] != kImpossible) {
        while (!window.empty() && bytes_from(window.back()) >= bytes_from(i - 1)) {
          window.pop_back();
        }
        window.push_back(i - 1);
      }
      while (!window.empty() && sums[i] - sums[window.front()] > cap) window.pop_front();
      if (window.empty()) continue;
      next[i] = bytes_from(window.front());
      chosen[part][i] = static_cast<std::uint32_t>(window.front());
    }
    best = std::move(next);
  }
  if (best[items] == kImpossible) return std::nullopt;
  CappedSplit split{best[items], std::vector<std::size_t>(problem.parts)};
  std::size_t end = items;
  for (std::size_t part = problem.parts; part-- > 0;) {
    end = chosen[part][end];
    split.firsts[part] = end;
  }
  return split;
}

}  // namespace

double smallest_largest_part(std::span<const double> costs, std::size_t parts) {
  LONGHAUL_ASSERT(parts >= 1 && parts <= costs.size());
  const std::vector<double> sums = prefix_sums(costs);
  // largest[i]: the smallest largest part of items [0, i) in k parts. Grows with i, while the rest
  // after a cut at j shrinks with j: the best j is where the two meet.
  std::vector<double> largest = sums;
  for (std::size_t part = 2; part <= parts; ++part) {
    std::vector<double> next(sums.size(), std::numeric_limits<double>::infinity());
    for (std::size_t i = part; i < sums.size(); ++i) {
      std::size_t low = part - 1;
      std::size_t high = i - 1;
      while (low < high) {  // the first j whose left side is not smaller than its right side
        const std::size_t middle = low + (high - low) / 2;
        if (largest[middle] >= sums[i] - sums[middle]) {
          high = middle;
        } else {
          low = middle + 1;
        }
      }
      next[i] = std::max(largest[low], sums[i] - sums[low]);
      if (low > part - 1) {
        next[i] = std::min(next[i], std::max(largest[low - 1], sums[i] - sums[low - 1]));
      }
    }
    largest = std::move(next);
  }
  return largest.back();
}

std::vector<std::size_t> contiguous_split(const SplitProblem& problem) {
  LONGHAUL_ASSERT(problem.cut_bytes.size() == problem.costs.size());
  const std::vector<double> sums = prefix_sums(problem.costs);
  double low = smallest_largest_part(problem.costs, problem.parts);
  double high = low * (1.0 + problem.tolerance);
  auto split = fewest_bytes(problem, sums, high);
  LONGHAUL_ASSERT(split.has_value());
  for (int halvings = 0; halvings < 10; ++halvings) {
    const double middle = low + (high - low) / 2;
    auto tighter = fewest_bytes(problem, sums, middle);
    if (tighter && tighter->bytes == split->bytes) {
      split = std::move(tighter);
      high = middle;
    } else {
      low = middle;
    }
  }
  return std::move(split->firsts);
}

}  // namespace longhaul::scheduler
