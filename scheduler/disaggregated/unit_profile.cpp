// Parameters, FLOPs and bytes of transformers, whatever their sequences stand for.
#include "scheduler/disaggregated/unit_profile.hpp"

#include "proto/assert.hpp"

namespace longhaul::scheduler {
namespace {

// Of one layer.
struct LayerCosts {
  double parameters = 0;
  double flops = 0;   // forward, per token
  double values = 0;  // kept, per token
};

LayerCosts layer_costs(const TransformerShape& shape, bool recomputed) {
  const double h = shape.hidden;
  const double f = shape.feed_forward;
  const double k = shape.key_value_share;
  const double tokens = shape.tokens;
  const double cross = shape.cross_tokens;
  const double matrices = shape.gated ? 3.0 : 2.0;
  const double projections = h * h * (2.0 + 2.0 * k);
  LayerCosts layer{
      .parameters = projections + matrices * h * f + 2.0 * h + shape.modulation * h * h,
      .flops = 2.0 * projections + 4.0 * tokens * h + 2.0 * matrices * h * f,
      .values = 4.0 * h + h * (3.0 + 2.0 * k) + matrices * f + h};
  if (cross > 0.0) {
    layer.parameters += projections;
    layer.flops += 4.0 * h * h + 4.0 * cross * h + 4.0 * k * h * h * cross / tokens;
    layer.values += 3.0 * h;
  }
  if (recomputed) layer.values = h;
  return layer;
}

double backward_over_forward(Trained trained) {
  switch (trained) {
    case Trained::kYes:
      return 2.0;
    case Trained::kPassing:
      return 1.0;
    case Trained::kFrozen:
      return 0.0;
  }
  LONGHAUL_ASSERT(false);
}

}  // namespace

UnitCosts transformer_costs(const TransformerShape& shape, const UnitUse& use) {
  LONGHAUL_ASSERT(shape.layers > 0 && shape.hidden > 0 && shape.tokens > 0);
  const LayerCosts layer = layer_costs(shape, use.recomputed);
  const double layers = shape.layers;
  const double vocabulary = double{1} * shape.vocabulary * shape.hidden;
  const double tokens = use.sequences * use.passes * shape.tokens;  // of a sample, all passes
  const double forward = tokens * (layers * layer.flops + 2.0 * vocabulary);
  const double backward = forward * backward_over_forward(use.trained);

  UnitCosts costs;
  costs.parameters = layers * layer.parameters + vocabulary * (shape.tied ? 1.0 : 2.0);
  costs.flops = forward + backward;
  costs.executed_flops =
      costs.flops + (use.recomputed && use.trained != Trained::kFrozen ? forward : 0.0);
  const bool is_trained = use.trained == Trained::kYes;
  costs.memory.state_bytes =
      costs.parameters * (use.value_bytes + (is_trained ? use.gradient_bytes : 0.0));
  costs.memory.sharded_state_bytes = is_trained ? costs.parameters * use.optimizer_bytes : 0.0;
  // What is frozen and first keeps nothing but its output.
  const double values = use.trained == Trained::kFrozen ? shape.hidden : layers * layer.values;
  costs.memory.activation_bytes = tokens * (values * use.value_bytes + 4.0 * shape.vocabulary);
  return costs;
}

std::vector<UnitOption> options_from_rate(const UnitCosts& costs, std::size_t pool,
                                          double peak_flops_per_s,
                                          std::span<const Efficiency> efficiencies) {
  std::vector<UnitOption> options;
  for (const Efficiency& at : efficiencies) {
    options.push_back(
        {.pool = pool,
         .tensor = at.tensor,
         .sample_s = costs.executed_flops / (at.tensor * peak_flops_per_s * at.of_peak)});
  }
  return options;
}

}  // namespace longhaul::scheduler
