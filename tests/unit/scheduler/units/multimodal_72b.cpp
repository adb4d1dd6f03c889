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

Unit unit_of(const char* name, const UnitCosts& costs, std::span<const Efficiency> efficiencies,
             std::uint32_t pieces) {
  return {.name = name,
          .options = options_from_rate(costs, 0, kPeakFlopsPerS, efficiencies),
          .memory = costs.memory,
          .flops = costs.flops,
          .pieces = pieces};
}

}  // namespace

UnitsProblem multimodal_72b(const Multimodal72b& cluster) {
  const std::uint32_t images_in = 16;
  const std::uint32_t images_out = 4;
  const UnitCosts encoder =
      transformer_costs({.layers = 32, .hidden = 1280, .feed_forward = 5120, .tokens = 1024},
                        {.sequences = images_in});
  const UnitCosts backbone = transformer_costs({.layers = 80,
                                                .hidden = 8192,
                                                .feed_forward = 28672,
                                                .gated = true,
                                                .key_value_share = 0.125,
                                                .tokens = 8192,
                                                .vocabulary = 128256},
                                               {});
  const UnitCosts generator = transformer_costs(
      {.layers = 28, .hidden = 1536, .feed_forward = 6144, .tokens = 4096, .modulation = 6.0},
      {.sequences = images_out});
  UnitsProblem problem;
  problem.pools = {{.name = "a100",
                    .devices = cluster.devices,
                    .memory_bytes = 72.0 * kGib,
                    .peak_flops_per_s = kPeakFlopsPerS}};
  problem.units = {unit_of("encoder", encoder, kNarrow, cluster.whole_images ? images_in : 0),
                   unit_of("backbone", backbone, kWide, 0),
                   unit_of("generator", generator, kNarrow, cluster.whole_images ? images_out : 0)};
  problem.backbone = 1;
  problem.layers = 80;
  problem.batch = cluster.batch;
  problem.micro_batch = cluster.micro_batch;
  return problem;
}

}  // namespace longhaul::scheduler
