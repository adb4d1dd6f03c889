// Claims about how a plan of Galvatron's search is shown.
#include "daemon/cli/galvatron_plan.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

namespace longhaul::daemon {
namespace {

using scheduler::galvatron::FoundPlan;
using scheduler::galvatron::Sharding;
using scheduler::galvatron::Strategy;

FoundPlan sample_plan() {
  const Strategy checkpointed{
      .pipeline = 2, .tensor = 2, .data = 2, .sharding = Sharding::kEverything, .checkpoint = true};
  const Strategy plain{
      .pipeline = 2, .tensor = 2, .data = 2, .sharding = Sharding::kGradientsAndStates};
  const Strategy rest{.pipeline = 2, .ulysses = 4};
  return {.candidates = {plain, checkpointed},
          .stages = {{{checkpointed, checkpointed, plain}, 9000}, {{plain, plain}, 800}},
          .rest = rest,
          .step_s = 12.5,
          .samples_per_s = 5.12,
          .usable_mb = 9830};
}

TEST_CASE("galvatron plan: a row per stage, equal layers together") {
  CHECK(galvatron_plan_text(sample_plan()) ==
        "stage  layers  strategies                    memory MB\n"
        "    0       3  2 x 2-2*-2f-c, 1 x 2-2*-2  9000 of 9830\n"
        "    1       2  2 x 2-2*-2                  800 of 9830\n"
        "\n"
        "embedding and head  2-4-1-sp\n"
        "pipeline degree     2\n"
        "step                12.5 s\n"
        "samples/s           5.12\n"
        "chosen among        2 strategies per layer\n");
}

TEST_CASE("galvatron plan: JSON names the strategy of every layer") {
  const auto json = nlohmann::json::parse(galvatron_plan_json(sample_plan()));
  CHECK(json.size() == 5);
  CHECK(json["candidates"] == nlohmann::json{"2-2*-2", "2-2*-2f-c"});
  CHECK(json["samples_per_s"] == 5.12);
  CHECK(json["pipeline_degree"] == 2);
  CHECK(json["layers"] == nlohmann::json{"2-2*-2f-c", "2-2*-2f-c", "2-2*-2", "2-2*-2", "2-2*-2"});
  CHECK(json["embedding_tensor_degree"] == 4);
}

}  // namespace
}  // namespace longhaul::daemon
