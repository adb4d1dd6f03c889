// The three units of the 72-billion-parameter model.
#include "tests/unit/scheduler/units/multimodal_72b.hpp"

#include "scheduler/disaggregated/unit_profile.hpp"

#include <array>

namespace longhaul::scheduler {
namespace {

constexpr double kPeakFlopsPerS = 312e12;
constexpr double kGib = 1024.0 * 1024.0 * 1024.0;
constexpr std::array kWide{Efficiency{1, 0.60}, Efficiency{2, 0.59}, Efficiency{4, 0.57},
                           Efficiency{8, 0.54}};
constexpr std::array kNarrow{Efficiency{1, 0.50}, Efficiency{2, 0.42}, Efficiency{4, 0.30},
                             Efficiency{8, 0.18}};

Unit unit_of(const char* name, const TransformerShape& shape, double sequences,
             std::span<const Efficiency> efficiencies, std::uint32_t pieces) {
  const UnitCosts costs = transformer_costs(shape, {.sequences = sequences});
  const UnitCosts recomputed =
      transformer_costs(shape, {.sequences = sequences, .recomputed = true});
  Unit unit{.name = name,
            .options = options_from_rate(costs, 0, kPeakFlopsPerS, efficiencies),
            .memory = costs.memory,
            .flops = costs.flops,
            .pieces = pieces};
  for (UnitOption option : options_from_rate(recomputed, 0, kPeakFlopsPerS, efficiencies)) {
    option.activation_share = recomputed.memory.activation_bytes / costs.memory.activation_bytes;
    unit.options.push_back(option);
  }
  return unit;
}

}  // namespace

UnitsProblem multimodal_72b(const Multimodal72b& cluster) {
  const std::uint32_t images_in = 16;
  const std::uint32_t images_out = 4;
  const TransformerShape encoder{
      .layers = 32, .hidden = 1280, .feed_forward = 5120, .tokens = 1024};
  const TransformerShape backbone{.layers = 80,
                                  .hidden = 8192,
                                  .feed_forward = 28672,
                                  .gated = true,
                                  .key_value_share = 0.125,
                                  .tokens = 8192,
                                  .vocabulary = 128256};
  const TransformerShape generator{
      .layers = 28, .hidden = 1536, .feed_forward = 6144, .tokens = 4096, .modulation = 6.0};
  UnitsProblem problem;
  problem.pools = {{.name = "a100",
                    .devices = cluster.devices,
                    .memory_bytes = 72.0 * kGib,
                    .peak_flops_per_s = kPeakFlopsPerS}};
  problem.units = {
      unit_of("encoder", encoder, images_in, kNarrow, cluster.whole_images ? images_in : 0),
      unit_of("backbone", backbone, 1, kWide, 0),
      unit_of("generator", generator, images_out, kNarrow, cluster.whole_images ? images_out : 0)};
  problem.backbone = 1;
  problem.layers = 80;
  problem.batch = cluster.batch;
  problem.micro_batch = cluster.micro_batch;
  return problem;
}

}  // namespace longhaul::scheduler
