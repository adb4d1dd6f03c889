// The rules of links that need no memory: published baselines, budgets, annealing, small moves.
#pragma once

#include "compression/rung.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace longhaul::compression {

// One entry in `ratio`, at least 1, in FusionLLM's format: fp32 values and int64 indices.
[[nodiscard]] Rung indexed_rung(double ratio);

// AdaTopK (FusionLLM, arXiv 2410.12707): r_i = max(1, 3 r R_i / max_j R_j), and n / r_i entries
// are kept, as fp32 values and int64 indices. Dense where r_i is 1. For 1 < r_i < 3 that is more
// than the dense payload, and encode() sends the dense one.
struct AdaTopK {
  double ratio = 1.0;      // r, the user's; at least 1
  double dense_s = 0.0;    // R_i: estimated time of the dense transfer of this link
  double slowest_s = 0.0;  // max_j R_j over the job's links
};
[[nodiscard]] double adatopk_ratio(const AdaTopK& link);  // r_i; 1 where a time makes no sense
[[nodiscard]] Rung adatopk_rung(const AdaTopK& link);

// What one link may lose by default, as relative squared error (Distortion). README.md derives it.
struct DistortionDefault {
  bool backward = false;
  bool from_scratch = false;   // else from weights that were given
  std::size_t boundaries = 1;  // boundaries on the way through the pipeline
};
[[nodiscard]] double default_distortion(const DistortionDefault& what);

// The smallest density that annealing permits, in 1 / 10^9 as Rung's. `share` of the steps, the
// last ones, are the annealing; with K = ceil(log2(1 / start)) doublings to go it has K equal
// parts: `start` is doubled at the beginning of each, and the last part is dense. 0 before.
struct Annealing {
  double share = 0.0;                   // 0 to 1; 0: none
  std::uint64_t steps = 0;              // of the job
  std::uint32_t start = kWholeDensity;  // the link's density when annealing began
};
[[nodiscard]] bool anneals(const Annealing& annealing, std::uint64_t step);  // step: from 0
[[nodiscard]] std::uint32_t annealed_density(const Annealing& annealing, std::uint64_t step);

// The rung next to `from` on the way to `to`: `to` itself, or where its density is more than twice
// or less than half that of `from`, a top-k rung with the values of `to` and twice or half the
// density of `from`. Idempotent at `to`; ends there.
[[nodiscard]] Rung towards(const Rung& from, const Rung& to);

// The value formats among which a backward link chooses, one rung without selection per format of
// the ladder, in its order.
[[nodiscard]] std::vector<Rung> value_rungs(std::span<const Rung> ladder);

// What a backward link whose choice is `chosen` (one of value_rungs) sends in answer to a forward
// under `forward`: never coarser values than the forward's; values for encode_masked where the
// forward has a mask to share. Where the forward selects for its own, so does the backward.
[[nodiscard]] Rung backward_rung(const Rung& chosen, const Rung& forward);

}  // namespace longhaul::compression
