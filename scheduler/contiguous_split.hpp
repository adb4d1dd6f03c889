// Cuts a row of costs into contiguous parts: the most even split, and among those nearly as even
// the one that cuts the fewest bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace longhaul::scheduler {

struct SplitProblem {
  std::span<const double> costs;            // per item, finite and not negative
  std::span<const std::int64_t> cut_bytes;  // [i]: what it costs to cut before item i; [0] unused
  std::size_t parts = 1;                    // 1 to costs.size()
  double tolerance = 0.03;                  // "nearly as even": largest part within 1 + tolerance
};

// The first item of every part, ascending, the first being 0; no part is empty. With M the smallest
// possible cost of the largest part: of all splits whose largest part costs at most
// (1 + tolerance) * M, one with the fewest cut bytes; of those, one with the least sum of squared
// costs. O(parts * items^2).
[[nodiscard]] std::vector<std::size_t> contiguous_split(const SplitProblem& problem);

// M of above.
[[nodiscard]] double smallest_largest_part(std::span<const double> costs, std::size_t parts);

}  // namespace longhaul::scheduler
