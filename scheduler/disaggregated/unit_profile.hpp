// What a unit of known shape computes and keeps, as formulas: for units that nobody has profiled.
#pragma once

#include "scheduler/disaggregated/units.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace longhaul::scheduler {

// What training does with a unit's parameters.
enum class Trained {
  kYes,      // backward = 2 forwards: input and weight gradients
  kPassing,  // frozen, but gradients pass through it: backward = 1 forward
  kFrozen,   // frozen, and nothing before it is trained: no backward
};

// A transformer over a sequence of tokens. Counting as for a language model: Narayanan et al. 2021
// (arXiv 2104.04473), generalised to grouped queries and gated feed-forwards; attention over the
// whole square, as is customary for MFU.
struct TransformerShape {
  std::uint32_t layers = 0;
  std::uint32_t hidden = 0;
  std::uint32_t feed_forward = 0;  // inner width
  bool gated = false;              // three matrices per feed-forward instead of two
  double key_value_share = 1.0;    // heads of keys over heads of queries
  std::uint32_t tokens = 0;        // of one sequence
  std::uint32_t vocabulary = 0;    // 0: no embedding and no head
  bool tied = false;               // embedding and head are the same matrix
  std::uint32_t cross_tokens = 0;  // tokens of a condition that each layer attends to; 0: none
  double modulation = 0.0;         // further parameters of a layer, in hidden^2 (6 for a DiT)
};

// How many such sequences make one sample, and how the unit is kept: a vision encoder or a
// diffusion model works on several images, each for some passes (denoising steps that are trained,
// views).
struct UnitUse {
  double sequences = 1;  // per sample: images
  double passes = 1;     // of each sequence through the unit
  Trained trained = Trained::kYes;
  bool recomputed = false;  // only inputs of layers are kept, a forward is repeated in the backward
  double value_bytes = 2;   // of a parameter, gradient or activation that computes: bf16
  double gradient_bytes = 2;    // of a kept gradient
  double optimizer_bytes = 12;  // of a parameter: fp32 copy and two moments of Adam
};

struct UnitCosts {
  double parameters = 0;
  double flops = 0;           // of a sample's forward and backward, without recomputation
  double executed_flops = 0;  // with it
  UnitMemory memory;          // optimizer states are sharded over replicas, the rest is not
};

// Per token and layer, with h hidden, f feed-forward, k key_value_share, T tokens, C cross_tokens:
//   parameters   h^2 (2 + 2 k) + (2 or 3) h f + 2 h [+ h^2 (2 + 2 k) if C > 0] + modulation h^2
//   forward      2 h^2 (2 + 2 k) + 4 T h + (4 or 6) h f [+ 4 h^2 + 4 C h, and 4 k h^2 C / T for the
//                condition's own keys and values]; the modulation's is once per sequence: left out
//   activations  values kept: 4 h (norms' inputs, residuals) + h (3 + 2 k) (attention without its
//                probabilities) + (2 or 3) f + h (feed-forward) [+ 3 h for the cross-attention];
//                h if recomputed
// Per token also 2 h V for the head, and its logits in fp32, which are kept.
// Source of activations: Korthikanti et al. 2022 (arXiv 2205.05198), section 4, without dropout
// masks, with a fused attention; tensor parallelism splits all of it, as with sequence parallelism.
[[nodiscard]] UnitCosts transformer_costs(const TransformerShape& shape, const UnitUse& use);

// How well a device computes at one tensor degree.
struct Efficiency {
  std::uint32_t tensor = 1;
  double of_peak = 0;  // in (0, 1]: what a device achieves of `peak_flops_per_s`
};

// One option for each degree: sample_s = executed_flops / (tensor * peak * of_peak).
[[nodiscard]] std::vector<UnitOption> options_from_rate(const UnitCosts& costs, std::size_t pool,
                                                        double peak_flops_per_s,
                                                        std::span<const Efficiency> efficiencies);

}  // namespace longhaul::scheduler
