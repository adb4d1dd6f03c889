// Two dynamic programs over cut positions: smallest largest part, then fewest bytes and evenness
// under a cap.
#include "scheduler/contiguous_split.hpp"

#include "proto/assert.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <optional>

namespace longhaul::scheduler {
namespace {

std::vector<double> prefix_sums(std::span<const double> costs) {
  std::vector<double> sums(costs.size() + 1);
  for (std::size_t i = 0; i < costs.size(); ++i) sums[i + 1] = sums[i] + costs[i];
  return sums;
}

// Fewest bytes first, then the least sum of the parts' squared costs: the most even of them.
struct Score {
  std::int64_t bytes = std::numeric_limits<std::int64_t>::max();
  double squares = 0.0;

  [[nodiscard]] bool possible() const { return bytes != std::numeric_limits<std::int64_t>::max(); }
  bool operator<(const Score& other) const {
    return bytes != other.bytes ? bytes < other.bytes : squares < other.squares;
  }
};

// best[i] for k parts: the score of items [0, i) in k parts of at most `cap` each.
std::optional<std::vector<std::size_t>> best_under(const SplitProblem& problem,
                                                   const std::vector<double>& sums, double cap) {
  const std::size_t items = problem.costs.size();
  std::vector<Score> best(items + 1);
  best[0] = {.bytes = 0, .squares = 0.0};
  std::vector<std::vector<std::uint32_t>> chosen(problem.parts,
                                                 std::vector<std::uint32_t>(items + 1));
  for (std::size_t part = 0; part < problem.parts; ++part) {
    std::vector<Score> next(items + 1);
    for (std::size_t i = part + 1; i <= items; ++i) {
      for (std::size_t j = i; j-- > part && sums[i] - sums[j] <= cap;) {
        if (!best[j].possible()) continue;
        const double cost = sums[i] - sums[j];
        const Score score{.bytes = best[j].bytes + (j == 0 ? 0 : problem.cut_bytes[j]),
                          .squares = best[j].squares + cost * cost};
        if (!(score < next[i])) continue;
        next[i] = score;
        chosen[part][i] = static_cast<std::uint32_t>(j);
      }
    }
    best = std::move(next);
  }
  if (!best[items].possible()) return std::nullopt;
  std::vector<std::size_t> firsts(problem.parts);
  std::size_t end = items;
  for (std::size_t part = problem.parts; part-- > 0;) {
    end = chosen[part][end];
    firsts[part] = end;
  }
  return firsts;
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
  const double cap =
      smallest_largest_part(problem.costs, problem.parts) * (1.0 + problem.tolerance);
  auto firsts = best_under(problem, sums, cap);
  LONGHAUL_ASSERT(firsts.has_value());
  return std::move(*firsts);
}

}  // namespace longhaul::scheduler
