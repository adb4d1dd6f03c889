// Claims about the formulas of units: time against the longest path, memory, costs of known models.
#include "scheduler/disaggregated/units.hpp"

#include "scheduler/disaggregated/disaggregated.hpp"
#include "scheduler/disaggregated/unit_profile.hpp"
#include "tests/unit/scheduler/units/multimodal_72b.hpp"
#include "tests/unit/scheduler/units/random_units.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <vector>

namespace longhaul::scheduler {
namespace {

// Encoder, backbone of 4 layers, generator; times chosen so that each stage can take 1 s a round.
UnitsProblem round_problem() {
  UnitsProblem problem;
  problem.pools = {{.name = "all", .devices = 64, .memory_bytes = 1e3, .peak_flops_per_s = 10.0}};
  problem.units = {{.name = "encoder", .options = {{0, 1, 2.0}}, .flops = 6.0},
                   {.name = "backbone", .options = {{0, 2, 4.0}}, .flops = 40.0},
                   {.name = "generator", .options = {{0, 1, 3.0}}, .flops = 9.0}};
  problem.backbone = 1;
  problem.layers = 4;
  problem.batch = 24;
  return problem;
}

TEST_CASE("units: the formula by hand, and it is the longest path where all rounds are equal") {
  const UnitsProblem problem = round_problem();
  const std::array<std::size_t, 3> options{0, 0, 0};
  const std::array<std::uint32_t, 3> data{4, 2, 6};  // 2 samples a round: 4/4, 4/4 and 6/6 s
  const UnitsPlan plan = price(problem, options, {.data = 2, .pipeline = 4}, data);
  CHECK(plan.micro_batches == 12);
  CHECK(plan.fill_s == 6.0);
  CHECK(plan.bottleneck_s == 1.0);
  CHECK(plan.step_s == 17.0);
  CHECK(plan.devices_used == 4 + 16 + 6);
  CHECK(plan.mfu == doctest::Approx(24 * 55.0 / (17.0 * 26 * 10.0)));
  CHECK(one_f_one_b_s(problem, plan) == doctest::Approx(17.0));
  CHECK(one_f_one_b_s(problem, plan, 0.5) == doctest::Approx(17.0));
}

TEST_CASE(
    "units: an uneven backbone is as slow as its fullest stage; whole pieces are rounded up") {
  UnitsProblem problem = round_problem();
  const UnitOption& backbone = problem.units[1].options[0];
  CHECK(round_s(problem, 1, backbone, {.data = 1, .pipeline = 3}, 1) == 2.0);
  CHECK(round_s(problem, 0, problem.units[0].options[0], {.data = 2, .pipeline = 1}, 3) ==
        doctest::Approx(4.0 / 3.0));
  problem.units[0].pieces = 4;  // 8 pieces of half a second on 3 replicas
  CHECK(round_s(problem, 0, problem.units[0].options[0], {.data = 2, .pipeline = 1}, 3) == 1.5);
}

TEST_CASE("units: memory counts what is in flight, and what replicas share") {
  UnitsProblem problem = round_problem();
  problem.units[1].memory = {.state_bytes = 80.0,
                             .sharded_state_bytes = 48.0,
                             .activation_bytes = 16.0,
                             .fixed_bytes = 5.0};
  // 1/8 of the unit; 4 stages and the generator behind the first: 5 in flight.
  const UnitMemoryNeed backbone =
      memory_need(problem, 1, problem.units[1].options[0], {.data = 3, .pipeline = 4}, 3);
  CHECK(backbone.states == doctest::Approx(10.0 + 2.0));
  CHECK(backbone.activations == doctest::Approx(2.0 * 5));
  CHECK(backbone.fixed == 5.0);
  // No more in flight than there are micro-batches.
  CHECK(memory_need(problem, 1, problem.units[1].options[0], {.data = 24, .pipeline = 4}, 24)
            .activations == 2.0);
  // A recomputed unit keeps less.
  const UnitOption recomputed{.tensor = 2, .sample_s = 5.0, .activation_share = 0.25};
  CHECK(memory_need(problem, 1, recomputed, {.data = 3, .pipeline = 4}, 3).activations == 2.5);
  problem.units[0].memory = {.activation_bytes = 12.0};
  problem.units[2].memory = {.activation_bytes = 12.0};
  CHECK(memory_need(problem, 0, problem.units[0].options[0], {.data = 2, .pipeline = 4}, 4)
            .activations == 12.0 * 6 * 2 / 4);
  CHECK(memory_need(problem, 2, problem.units[2].options[0], {.data = 2, .pipeline = 4}, 4)
            .activations == 12.0 * 1 * 2 / 4);
  CHECK(smallest_data_degree(problem, 0, problem.units[0].options[0], {.data = 2, .pipeline = 4},
                             36.0, 64) == 4);
  CHECK_FALSE(smallest_data_degree(problem, 0, problem.units[0].options[0],
                                   {.data = 2, .pipeline = 4}, 36.0, 3)
                  .has_value());
}

TEST_CASE(
    "units: the formula is an upper bound of 1F1B that is near, on the best plans of random "
    "problems") {
  double lowest = 1e9;
  double highest = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    const UnitsProblem problem = random_units(seed);
    const auto plans = disaggregated_plans(problem);
    if (!plans) continue;
    const UnitsPlan& plan = plans->best_first.front();
    const double ratio = one_f_one_b_s(problem, plan) / plan.step_s;
    lowest = std::min(lowest, ratio);
    highest = std::max(highest, ratio);
  }
  MESSAGE("longest path over the formula: " << lowest << " to " << highest);
  CHECK(lowest >= 0.8);
  CHECK(highest <= 1.0 + 1e-9);
}

TEST_CASE("units: parameters and FLOPs of models that are known") {
  // GPT-3's published size, and 6 FLOPs per parameter and token plus attention.
  const UnitCosts gpt3 = transformer_costs({.layers = 96,
                                            .hidden = 12288,
                                            .feed_forward = 49152,
                                            .tokens = 2048,
                                            .vocabulary = 50257,
                                            .tied = true},
                                           {});
  CHECK(gpt3.parameters == doctest::Approx(174.6e9).epsilon(0.003));
  CHECK(gpt3.flops ==
        doctest::Approx(6.0 * gpt3.parameters * 2048 + 12.0 * 96 * 12288 * 2048.0 * 2048)
            .epsilon(0.001));
  CHECK(gpt3.executed_flops == gpt3.flops);
  CHECK(gpt3.memory.sharded_state_bytes == 12.0 * gpt3.parameters);
  // Llama 3 70B, ViT-Huge.
  const UnitsProblem problem = multimodal_72b({});
  CHECK(problem.units[1].memory.state_bytes / 4.0 == doctest::Approx(70.55e9).epsilon(0.002));
  CHECK(problem.units[0].memory.state_bytes / 4.0 == doctest::Approx(0.63e9).epsilon(0.005));
  double all = 0;
  for (const Unit& unit : problem.units) all += unit.memory.state_bytes / 4.0;
  CHECK(all == doctest::Approx(72e9).epsilon(0.01));
}

TEST_CASE("units: recomputation costs a forward, freezing saves gradients") {
  const TransformerShape shape{.layers = 2, .hidden = 8, .feed_forward = 32, .tokens = 16};
  const UnitCosts plain = transformer_costs(shape, {});
  const UnitCosts recomputed = transformer_costs(shape, {.recomputed = true});
  CHECK(recomputed.flops == plain.flops);
  CHECK(recomputed.executed_flops == doctest::Approx(plain.flops * 4.0 / 3.0));
  CHECK(recomputed.memory.activation_bytes == 16 * 2 * 8 * 2.0);
  CHECK(recomputed.memory.activation_bytes < plain.memory.activation_bytes);
  const UnitCosts passing = transformer_costs(shape, {.trained = Trained::kPassing});
  CHECK(passing.flops == doctest::Approx(plain.flops * 2.0 / 3.0));
  CHECK(passing.memory.sharded_state_bytes == 0.0);
  CHECK(passing.memory.state_bytes == plain.parameters * 2.0);
  const UnitCosts frozen =
      transformer_costs(shape, {.sequences = 3, .trained = Trained::kFrozen, .recomputed = true});
  CHECK(frozen.executed_flops == doctest::Approx(plain.flops));  // three sequences, a third each
  CHECK(frozen.memory.activation_bytes == 3 * 16 * 8 * 2.0);
}

TEST_CASE("units: options from a rate") {
  UnitCosts costs;
  costs.executed_flops = 120.0;
  const std::array<Efficiency, 2> efficiencies{{{1, 0.5}, {4, 0.25}}};
  const std::vector<UnitOption> options = options_from_rate(costs, 3, 10.0, efficiencies);
  REQUIRE(options.size() == 2);
  CHECK(options[0].pool == 3);
  CHECK(options[0].sample_s == 24.0);
  CHECK(options[1].tensor == 4);
  CHECK(options[1].sample_s == 12.0);
}

}  // namespace
}  // namespace longhaul::scheduler
