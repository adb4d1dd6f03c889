// The list of strategies, and their names.
#include "scheduler/groups/strategy.hpp"

#include <fmt/format.h>

namespace longhaul::scheduler {
namespace {

void add(GroupStrategy strategy, std::vector<GroupStrategy>& found) {
  std::vector<Sharding> shardings{Sharding::kNothing};
  if (strategy.replicas() > 1) {
    shardings = {Sharding::kOptimizer, Sharding::kGradients, Sharding::kParameters};
  }
  for (const Sharding sharding : shardings) {
    strategy.sharding = sharding;
    for (const bool checkpoint : {false, true}) {
      if (checkpoint && strategy.devices() == 1) continue;
      strategy.checkpoint = checkpoint;
      found.push_back(strategy);
    }
  }
}

}  // namespace

std::vector<GroupStrategy> group_strategies(std::uint32_t devices, std::uint32_t largest_data) {
  std::vector<GroupStrategy> found;
  for (std::uint32_t data = 1; data <= devices; ++data) {
    if (devices % data != 0 || data > largest_data) continue;
    const std::uint32_t rest = devices / data;
    add({.data = data, .tensor = rest}, found);
    if (rest > 1) add({.data = data, .sequence = rest}, found);
  }
  return found;
}

std::vector<StrategyRun> runs_of(const std::vector<GroupStrategy>& by_operator) {
  std::vector<StrategyRun> runs;
  for (const GroupStrategy& strategy : by_operator) {
    if (runs.empty() || runs.back().strategy != strategy) runs.push_back({0, strategy});
    ++runs.back().operators;
  }
  return runs;
}

std::string strategy_text(const GroupStrategy& strategy) {
  std::string text;
  const auto add = [&](const std::string& words) { text += (text.empty() ? "" : ", ") + words; };
  if (strategy.data > 1) add(fmt::format("data {}", strategy.data));
  if (strategy.tensor > 1) add(fmt::format("tensor {}", strategy.tensor));
  if (strategy.sequence > 1) add(fmt::format("sequence {}", strategy.sequence));
  switch (strategy.sharding) {
    case Sharding::kNothing:
      break;
    case Sharding::kOptimizer:
      add("moments sharded");
      break;
    case Sharding::kGradients:
      add("gradients sharded");
      break;
    case Sharding::kParameters:
      add("parameters sharded");
      break;
  }
  if (strategy.checkpoint) add("recomputed");
  return text.empty() ? "alone" : text;
}

}  // namespace longhaul::scheduler
