// A step's time from the times of its stages, in Galvatron's closed form.
#pragma once

#include <cstdint>
#include <span>

namespace longhaul::scheduler::galvatron {

// Of one micro-batch.
struct StageTimes {
  double compute_s = 0.0;         // all of it, but for the reduction of gradients
  double with_reduction_s = 0.0;  // the layers alone, with that reduction
};

// With m chunks, stages 0 to p - 1, C = compute_s and A = with_reduction_s:
//   T1 = sum C + C_last (m - 1)
//   w = min(p - 1, m - 1) C_0, r = sum of C from stage 1 on
//   T2 = max(w / 3, r / 3) + max(2 w / 3, 2 r / 3) + C_0 max(0, m + 1 - p)
//   max(T1, T2) + max(0, max over i of A_i - (C_0 + ... + C_i))
// It supposes that no stage is slower than the first or the last; one between them goes unseen.
// Never falls when a C grows. At least one stage.
[[nodiscard]] double pipeline_s(std::span<const StageTimes> stages, std::uint32_t chunks);

}  // namespace longhaul::scheduler::galvatron
