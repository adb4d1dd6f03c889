// The baseline: all units at the backbone's degrees, in one row of stages.
#include "scheduler/disaggregated/disaggregated.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace longhaul::scheduler {
namespace {

// Every unit's fastest option for this pool and tensor degree that fits, if all have one.
std::optional<std::vector<std::size_t>> options_at(const UnitsProblem& problem, std::size_t pool,
                                                   std::uint32_t tensor, BackboneDegrees degrees) {
  std::vector<std::size_t> chosen;
  for (std::size_t u = 0; u < problem.units.size(); ++u) {
    const std::vector<UnitOption>& options = problem.units[u].options;
    std::optional<std::size_t> best;
    for (std::size_t i = 0; i < options.size(); ++i) {
      if (options[i].pool != pool || options[i].tensor != tensor) continue;
      if (best && options[i].sample_s >= options[*best].sample_s) continue;
      const UnitMemoryNeed need = memory_need(problem, u, options[i], degrees, degrees.data);
      if (need.total() <= problem.pools[pool].memory_bytes) best = i;
    }
    if (!best) return std::nullopt;
    chosen.push_back(*best);
  }
  return chosen;
}

}  // namespace

proto::Result<UnitsPlan> uniform_plan(const UnitsProblem& problem) {
  if (auto checked = check_problem(problem); !checked) return checked.error();
  const std::size_t others = problem.units.size() - 1;
  std::optional<UnitsPlan> best;
  for (const UnitOption& option : problem.units[problem.backbone].options) {
    const DevicePool& pool = problem.pools[option.pool];
    for (const std::uint32_t data : divisors(problem.batch / problem.micro_batch)) {
      for (const std::uint32_t pipeline : pipeline_degrees(problem.layers)) {
        if (std::uint64_t{option.tensor} * data * (pipeline + others) > pool.devices) break;
        const BackboneDegrees degrees{.data = data, .pipeline = pipeline};
        const auto options = options_at(problem, option.pool, option.tensor, degrees);
        if (!options) continue;
        const std::vector<std::uint32_t> replicas(problem.units.size(), data);
        UnitsPlan plan = price(problem, *options, degrees, replicas);
        if (!best || plan.step_s < best->step_s) best = std::move(plan);
      }
    }
  }
  if (best) return std::move(*best);
  return proto::Error{
      proto::ErrorKind::kResource,
      fmt::format("no plan with the same degrees for all {} units fits one pool's devices and "
                  "memory: plan units with their own degrees",
                  problem.units.size())};
}

}  // namespace longhaul::scheduler
