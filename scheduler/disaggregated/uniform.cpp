// The baseline: all units at the backbone's degrees, in one row of stages.
#include "scheduler/disaggregated/disaggregated.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace longhaul::scheduler {
namespace {

// Every unit's option for this pool and tensor degree, if all have one.
std::optional<std::vector<UnitOption>> options_at(const UnitsProblem& problem, std::size_t pool,
                                                  std::uint32_t tensor) {
  std::vector<UnitOption> options;
  for (const Unit& unit : problem.units) {
    const auto found = std::find_if(
        unit.options.begin(), unit.options.end(),
        [&](const UnitOption& option) { return option.pool == pool && option.tensor == tensor; });
    if (found == unit.options.end()) return std::nullopt;
    options.push_back(*found);
  }
  return options;
}

bool fits(const UnitsProblem& problem, const DevicePool& pool, std::uint32_t tensor,
          BackboneDegrees degrees) {
  for (std::size_t u = 0; u < problem.units.size(); ++u) {
    const UnitMemoryNeed need = memory_need(problem, u, tensor, degrees, degrees.data);
    if (need.total() > pool.memory_bytes) return false;
  }
  return true;
}

}  // namespace

proto::Result<UnitsPlan> uniform_plan(const UnitsProblem& problem) {
  if (auto checked = check_problem(problem); !checked) return checked.error();
  const std::size_t others = problem.units.size() - 1;
  std::optional<UnitsPlan> best;
  for (const UnitOption& option : problem.units[problem.backbone].options) {
    const DevicePool& pool = problem.pools[option.pool];
    const auto options = options_at(problem, option.pool, option.tensor);
    if (!options) continue;
    for (const std::uint32_t data : divisors(problem.batch / problem.micro_batch)) {
      for (const std::uint32_t pipeline : pipeline_degrees(problem.layers)) {
        if (std::uint64_t{option.tensor} * data * (pipeline + others) > pool.devices) break;
        const BackboneDegrees degrees{.data = data, .pipeline = pipeline};
        if (!fits(problem, pool, option.tensor, degrees)) continue;
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
