// From operators to units and pools, and from the units' plan back to stages.
#include "scheduler/groups/units_of_problem.hpp"

#include "proto/text.hpp"
#include "scheduler/contiguous_split.hpp"
#include "scheduler/disaggregated/disaggregated.hpp"
#include "scheduler/groups/group_costs.hpp"
#include "scheduler/planners/evaluation.hpp"
#include "scheduler/planners/plan_tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <set>
#include <utility>

namespace longhaul::scheduler {
namespace {

constexpr std::size_t kSimulated = 12;  // plans of each way to divide a micro-batch

struct Pool {
  std::vector<std::size_t> devices;  // of the fleet
};

// Of one workload: what the formulas see.
struct Units {
  UnitsProblem problem;
  std::vector<NamedUnit> named;
  std::vector<Pool> pools;
};

std::vector<Pool> pools_of(const PlanningProblem& problem) {
  std::vector<Pool> pools;
  const Fleet& fleet = problem.fleet;
  for (std::size_t d = 0; d < fleet.devices.size(); ++d) {
    const FleetDevice& device = fleet.devices[d];
    if (problem.constraints.excluded_nodes.contains(device.node)) continue;
    const auto known = std::ranges::find_if(pools, [&](const Pool& pool) {
      const FleetDevice& other = fleet.devices[pool.devices.front()];
      return fleet.site_of(pool.devices.front()) == fleet.site_of(d) && other.kind == device.kind &&
             other.speed == device.speed && other.memory_bytes == device.memory_bytes;
    });
    if (known == pools.end()) {
      pools.push_back({{d}});
    } else {
      known->devices.push_back(d);
    }
  }
  for (Pool& pool : pools) {  // neighbours share a host
    std::ranges::stable_sort(pool.devices, {},
                             [&](std::size_t d) { return fleet.devices[d].host; });
  }
  return pools;
}

// Stages that the backbone may have.
std::uint32_t layers_of(const Workload& workload, const NamedUnit& unit) {
  for (const Exchange kind : {Exchange::kAttention, Exchange::kMatrix}) {
    std::uint32_t count = 0;
    for (std::size_t op = unit.first; op < unit.end; ++op) {
      if (workload.operators[op].exchange == kind) ++count;
    }
    if (count > 1) return count;
  }
  return 1;
}

// One option for each pool and tensor degree, and with more devices than one another that keeps
// the unit's inputs only.
void add_options(const Fleet& fleet, const Workload& workload, const NamedUnit& named,
                 const std::vector<Pool>& pools, Unit& unit) {
  const double samples = workload.micro_batch_size;
  double saved = 0.0;
  for (std::size_t op = named.first; op < named.end; ++op) {
    saved += workload.operators[op].saved_bytes;
  }
  const double kept = workload.cut_bytes()[named.first];
  for (std::size_t p = 0; p < pools.size(); ++p) {
    for (std::size_t tensor = 1; tensor <= pools[p].devices.size(); tensor *= 2) {
      const auto& all = pools[p].devices;
      const GroupCosts costs(fleet, workload,
                             {all.begin(), all.begin() + static_cast<std::ptrdiff_t>(tensor)});
      const std::size_t strategy = costs.index_of({.tensor = static_cast<std::uint32_t>(tensor)});
      StageTime sum;
      for (std::size_t op = named.first; op < named.end; ++op) {
        const StageTime time = costs.cost(op, strategy).time;
        sum.forward_s += time.forward_s;
        sum.input_gradient_s += time.input_gradient_s + time.weight_gradient_s;
      }
      UnitOption option{.pool = p,
                        .tensor = static_cast<std::uint32_t>(tensor),
                        .sample_s = std::max(1e-12, sum.sum() / samples)};
      unit.options.push_back(option);
      if (saved <= 0.0 || kept >= saved) continue;
      option.activation_share = kept / saved;
      option.sample_s += sum.forward_s / samples;
      unit.options.push_back(option);
    }
  }
}

Units units_problem(const PlanningProblem& problem, const Workload& workload,
                    std::vector<NamedUnit> named) {
  Units made{.problem = {}, .named = std::move(named), .pools = pools_of(problem)};
  for (const Pool& pool : made.pools) {
    const FleetDevice& device = problem.fleet.devices[pool.devices.front()];
    made.problem.pools.push_back(
        {.name = fmt::format("{} at {}", device.kind,
                             problem.fleet.sites[problem.fleet.site_of(pool.devices.front())].name),
         .devices = static_cast<std::uint32_t>(pool.devices.size()),
         .memory_bytes = static_cast<double>(device.memory_bytes),
         .peak_flops_per_s = device.peak_flops_per_s});
  }
  const double samples = workload.micro_batch_size;
  double most_flops = -1.0;
  for (std::size_t u = 0; u < made.named.size(); ++u) {
    const NamedUnit& range = made.named[u];
    Unit unit{.name = range.name};
    double flops = 0.0;
    for (std::size_t op = range.first; op < range.end; ++op) {
      const WorkloadOperator& described = workload.operators[op];
      flops += described.flops;
      unit.memory.sharded_state_bytes += 2.0 * described.parameter_bytes;
      unit.memory.state_bytes +=
          std::max(0.0, described.state_bytes - 2.0 * described.parameter_bytes);
      unit.memory.activation_bytes += described.saved_bytes / samples;
      unit.memory.fixed_bytes =
          std::max(unit.memory.fixed_bytes, described.workspace_bytes / samples);
    }
    unit.flops = flops / samples;
    add_options(problem.fleet, workload, range, made.pools, unit);
    if (flops > most_flops) {
      most_flops = flops;
      made.problem.backbone = u;
    }
    made.problem.units.push_back(std::move(unit));
  }
  for (std::size_t u = 0; u < made.named.size(); ++u) {
    if (u != made.problem.backbone) made.problem.units[u].pieces = 1;
  }
  made.problem.layers = layers_of(workload, made.named[made.problem.backbone]);
  made.problem.batch = problem.batch;
  return made;
}

// Where the backbone's stages begin and the last one ends.
std::vector<std::size_t> backbone_cuts(const Workload& workload, const NamedUnit& unit,
                                       std::size_t stages) {
  std::vector<double> costs;
  std::vector<std::int64_t> cut_bytes;
  const std::vector<double> cuts = workload.cut_bytes();
  for (std::size_t op = unit.first; op < unit.end; ++op) {
    costs.push_back(workload.operators[op].flops);
    cut_bytes.push_back(std::llround(std::min(cuts[op], 1e15)));
  }
  std::vector<std::size_t> firsts;
  for (const std::size_t first : contiguous_split(
           {.costs = costs, .cut_bytes = cut_bytes, .parts = std::min(stages, costs.size())})) {
    firsts.push_back(unit.first + first);
  }
  firsts.push_back(unit.end);
  return firsts;
}

struct Stages {
  std::vector<PlacedStage> placed;
  std::vector<StageGroup> groups;
};

Stages stages_of(const Workload& workload, const Units& units, const UnitsPlan& plan) {
  Stages made;
  std::vector<std::size_t> used(units.pools.size());
  for (std::size_t u = 0; u < plan.units.size(); ++u) {
    const UnitPlacement& placement = plan.units[u];
    const UnitOption& option = units.problem.units[u].options[placement.option];
    const bool backbone = u == units.problem.backbone;
    const auto cuts = backbone ? backbone_cuts(workload, units.named[u], placement.pipeline)
                               : std::vector<std::size_t>{units.named[u].first, units.named[u].end};
    const std::uint32_t data = std::min(placement.data, workload.micro_batch_size);
    for (std::size_t c = 0; c + 1 < cuts.size(); ++c) {
      GroupStrategy strategy{.data = data, .tensor = placement.tensor};
      if (data > 1) strategy.sharding = Sharding::kOptimizer;
      strategy.checkpoint = option.activation_share < 1.0 && strategy.devices() > 1;
      const auto first = units.pools[placement.pool].devices.begin() +
                         static_cast<std::ptrdiff_t>(used[placement.pool]);
      made.groups.push_back(
          {.devices = {first, first + static_cast<std::ptrdiff_t>(strategy.devices())},
           .runs = {{cuts[c + 1] - cuts[c], strategy}}});
      used[placement.pool] += strategy.devices();
      made.placed.push_back({.device = made.placed.size(), .first = cuts[c], .end = cuts[c + 1]});
    }
  }
  return made;
}

struct Best {
  std::optional<GroupedPlan> plan;
  double score = kUnlimited;
  std::optional<proto::Error> error;
};

void consider(const PlanningProblem& problem, std::size_t workload, const Stages& stages,
              Best& best) {
  PlacedPipeline placed;
  placed.workload = workload;
  placed.stages = stages.placed;
  for (const proto::ScheduleKind schedule : problem.schedules) {
    placed.schedule = schedule;
    placed.run_ahead = problem.run_ahead.front();
    auto plan = given_groups(problem, placed, stages.groups);
    if (!plan) {
      best.error = plan.error();
      continue;
    }
    choose_codecs(plan->problem, plan->placed);
    if (const auto found = check_placement(plan->problem, plan->placed); !found.empty()) {
      best.error = proto::Error{proto::ErrorKind::kResource, found.front().message};
      continue;
    }
    const double score = simulated_cost(plan->problem, plan->placed).score;
    if (!(score < best.score)) continue;
    best.score = score;
    best.plan = std::move(*plan);
  }
}

}  // namespace

proto::Result<std::vector<NamedUnit>> units_of(const Workload& workload) {
  std::vector<NamedUnit> units;
  std::set<std::string> seen;
  for (std::size_t op = 0; op < workload.operators.size(); ++op) {
    const std::string& id = workload.operators[op].id;
    const std::size_t slash = id.find('/');
    const std::string name = slash == std::string::npos ? "" : id.substr(0, slash);
    if (!units.empty() && (name.empty() || name == units.back().name)) {
      units.back().end = op + 1;
      continue;
    }
    if (units.size() == 1 && units.front().name.empty()) {  // what comes before the first unit
      units.front().name = name;
      units.front().end = op + 1;
      seen.insert(name);
      continue;
    }
    if (!name.empty() && !seen.insert(name).second) {
      return proto::configuration_error(fmt::format(
          "operator {} of unit {} comes after unit {}; a unit's operators must be in a row",
          proto::quoted(id), proto::quoted(name), proto::quoted(units.back().name)));
    }
    units.push_back({.name = name, .first = op, .end = op + 1});
  }
  if (units.size() < 2) {
    return proto::configuration_error(fmt::format(
        "disaggregated needs a model of two or more units, and {} is one: name operators "
        "UNIT/NAME, as in encoder/h.0.ln_1, or use hybrid",
        proto::quoted(workload.name)));
  }
  return units;
}

proto::Result<GroupedPlan> plan_disaggregated(const PlanningProblem& problem) {
  if (auto good = check_problem(problem); !good) return good.error();
  if (problem.constraints.devices > 0 || !problem.constraints.pins.empty()) {
    return proto::configuration_error(
        "disaggregated takes neither pins nor a number of devices; exclude nodes instead");
  }
  Best best;
  for (std::size_t w = 0; w < problem.workloads.size(); ++w) {
    const Workload& workload = problem.workloads[w];
    auto named = units_of(workload);
    if (!named) return named.error();
    Units units = units_problem(problem, workload, std::move(*named));
    for (const std::uint32_t data : divisors(workload.micro_batch_size)) {
      units.problem.data = data;
      units.problem.micro_batch = workload.micro_batch_size / data;
      const auto plans = disaggregated_plans(units.problem, kSimulated);
      if (!plans) {
        best.error = plans.error();
        continue;
      }
      for (const UnitsPlan& plan : plans->best_first) {
        consider(problem, w, stages_of(workload, units, plan), best);
      }
    }
  }
  if (best.plan) return std::move(*best.plan);
  return proto::with_context("disaggregated finds no plan that holds", *best.error);
}

}  // namespace longhaul::scheduler
