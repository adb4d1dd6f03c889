// Runs of equal strategies as "14 x 1-4*-2f-c", one row per stage.
#include "daemon/cli/galvatron_plan.hpp"

#include "daemon/cli/text_table.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <vector>

namespace longhaul::daemon {
namespace {

using scheduler::galvatron::FoundPlan;
using scheduler::galvatron::StagePlan;
using scheduler::galvatron::Strategy;

std::string runs(const std::vector<Strategy>& layers) {
  std::string text;
  for (auto first = layers.begin(); first != layers.end();) {
    const auto last = std::find_if(first, layers.end(),
                                   [&](const Strategy& strategy) { return strategy != *first; });
    text += fmt::format("{}{} x {}", text.empty() ? "" : ", ", last - first, name(*first));
    first = last;
  }
  return text;
}

}  // namespace

std::string galvatron_plan_text(const FoundPlan& plan) {
  TextTable table({{"stage", true}, {"layers", true}, {"strategies"}, {"memory MB", true}});
  for (std::size_t i = 0; i < plan.stages.size(); ++i) {
    const StagePlan& stage = plan.stages[i];
    table.add({fmt::format("{}", i), fmt::format("{}", stage.layers.size()), runs(stage.layers),
               fmt::format("{} of {}", stage.memory_mb, plan.usable_mb)});
  }
  return fmt::format(
      "{}\nembedding and head  {}\npipeline degree     {}\nstep                {:.4g} s\n"
      "samples/s           {:.4g}\nchosen among        {} strategies per layer\n",
      table.text(), name(plan.rest), plan.rest.pipeline, plan.step_s, plan.samples_per_s,
      plan.candidates.size());
}

std::string galvatron_plan_json(const FoundPlan& plan) {
  auto candidates = nlohmann::ordered_json::array();
  for (const Strategy& strategy : plan.candidates) candidates.push_back(name(strategy));
  auto layers = nlohmann::ordered_json::array();
  for (const StagePlan& stage : plan.stages) {
    for (const Strategy& strategy : stage.layers) layers.push_back(name(strategy));
  }
  const nlohmann::ordered_json result{{"candidates", std::move(candidates)},
                                      {"samples_per_s", plan.samples_per_s},
                                      {"pipeline_degree", plan.rest.pipeline},
                                      {"layers", std::move(layers)},
                                      {"embedding_tensor_degree", plan.rest.degree()}};
  return result.dump();
}

}  // namespace longhaul::daemon
