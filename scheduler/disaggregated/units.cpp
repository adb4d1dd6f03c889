// DistTrain's formulas for time and memory of units, and the check of what goes into them.
#include "scheduler/disaggregated/units.hpp"

#include "proto/assert.hpp"
#include "scheduler/pipeline_time.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace longhaul::scheduler {
namespace {

bool is_amount(double value) { return std::isfinite(value) && value >= 0.0; }

std::string fault_of_pool(const DevicePool& pool) {
  if (pool.devices == 0) return "has no device";
  if (!is_amount(pool.memory_bytes)) return fmt::format("has memory {} bytes", pool.memory_bytes);
  if (!is_amount(pool.peak_flops_per_s)) {
    return fmt::format("has a peak of {} FLOP/s", pool.peak_flops_per_s);
  }
  return {};
}

std::string fault_of_unit(const UnitsProblem& problem, const Unit& unit) {
  if (unit.options.empty()) return "has no tensor degree that it can run at";
  for (const UnitOption& option : unit.options) {
    if (option.pool >= problem.pools.size()) {
      return fmt::format("names pool {} of {}", option.pool, problem.pools.size());
    }
    if (option.tensor == 0) return "has tensor degree 0; the smallest is 1";
    if (!std::isfinite(option.sample_s) || option.sample_s <= 0.0) {
      return fmt::format("takes {} s for a sample at tensor degree {}; a time above 0 is expected",
                         option.sample_s, option.tensor);
    }
    if (!is_amount(option.activation_share)) {
      return fmt::format("keeps {} of its activations at tensor degree {}; at least 0 is expected",
                         option.activation_share, option.tensor);
    }
  }
  const UnitMemory& memory = unit.memory;
  for (const double bytes : {memory.state_bytes, memory.sharded_state_bytes,
                             memory.activation_bytes, memory.fixed_bytes, unit.flops}) {
    if (!is_amount(bytes)) {
      return fmt::format("has {} bytes or FLOPs; a number of at least 0 is expected", bytes);
    }
  }
  return {};
}

// Stages of the pipeline from the first one of this unit to the last of all.
std::uint32_t stages_from(const UnitsProblem& problem, std::size_t unit, std::uint32_t pipeline) {
  const auto units = static_cast<std::uint32_t>(problem.units.size() - unit);
  return unit <= problem.backbone ? units - 1 + pipeline : units;
}

std::uint32_t micro_batches_of(const UnitsProblem& problem, BackboneDegrees backbone) {
  return problem.batch / problem.micro_batch / backbone.data;
}

// Samples of one round that the fullest of `data` replicas works on.
double samples_of_round(const UnitsProblem& problem, std::size_t unit, BackboneDegrees backbone,
                        std::uint32_t data) {
  if (unit == problem.backbone) return problem.micro_batch;
  const double samples = double{1} * problem.micro_batch * backbone.data;
  const std::uint32_t pieces = problem.units[unit].pieces;
  if (pieces == 0) return samples / data;
  const std::uint64_t whole =
      std::uint64_t{problem.micro_batch} * backbone.data * std::uint64_t{pieces};
  return static_cast<double>((whole + data - 1) / data) / pieces;
}

}  // namespace

proto::Result<void> check_problem(const UnitsProblem& problem) {
  if (problem.units.empty()) return proto::configuration_error("there is no unit to place");
  if (problem.backbone >= problem.units.size()) {
    return proto::configuration_error(
        fmt::format("unit {} is to be the backbone, but there are only {}", problem.backbone,
                    problem.units.size()));
  }
  if (problem.layers == 0) return proto::configuration_error("the backbone has no layer");
  for (const DevicePool& pool : problem.pools) {
    const std::string fault = fault_of_pool(pool);
    if (!fault.empty()) {
      return proto::configuration_error(fmt::format("pool '{}' {}", pool.name, fault));
    }
  }
  for (const Unit& unit : problem.units) {
    const std::string fault = fault_of_unit(problem, unit);
    if (!fault.empty()) {
      return proto::configuration_error(fmt::format("unit '{}' {}", unit.name, fault));
    }
  }
  if (problem.units[problem.backbone].pieces != 0) {
    return proto::configuration_error("the backbone's samples cannot be cut into pieces");
  }
  if (problem.batch == 0 || problem.micro_batch == 0 || problem.batch % problem.micro_batch != 0) {
    return proto::configuration_error(fmt::format(
        "a global batch of {} samples cannot be made of micro-batches of {}: choose one "
        "that divides it",
        problem.batch, problem.micro_batch));
  }
  return {};
}

double stage_share(const UnitsProblem& problem, std::uint32_t pipeline) {
  return double{1} * ((problem.layers + pipeline - 1) / pipeline) / problem.layers;
}

double round_s(const UnitsProblem& problem, std::size_t unit, const UnitOption& option,
               BackboneDegrees backbone, std::uint32_t data) {
  const double share = unit == problem.backbone ? stage_share(problem, backbone.pipeline) : 1.0;
  return samples_of_round(problem, unit, backbone, data) * option.sample_s * share;
}

UnitMemoryNeed memory_need(const UnitsProblem& problem, std::size_t unit, const UnitOption& option,
                           BackboneDegrees backbone, std::uint32_t data) {
  const UnitMemory& memory = problem.units[unit].memory;
  const double share =
      (unit == problem.backbone ? stage_share(problem, backbone.pipeline) : 1.0) / option.tensor;
  const std::uint32_t in_flight =
      std::min(stages_from(problem, unit, backbone.pipeline), micro_batches_of(problem, backbone));
  return {.states = share * (memory.state_bytes + memory.sharded_state_bytes / data),
          .activations = share * option.activation_share * memory.activation_bytes * in_flight *
                         samples_of_round(problem, unit, backbone, data),
          .fixed = memory.fixed_bytes};
}

std::optional<std::uint32_t> smallest_data_degree(const UnitsProblem& problem, std::size_t unit,
                                                  const UnitOption& option,
                                                  BackboneDegrees backbone, double bytes,
                                                  std::uint32_t most) {
  const auto fits = [&](std::uint32_t data) {
    return memory_need(problem, unit, option, backbone, data).total() <= bytes;
  };
  if (most == 0 || !fits(most)) return std::nullopt;
  std::uint32_t low = 1;
  std::uint32_t high = most;
  while (low < high) {
    const std::uint32_t middle = low + (high - low) / 2;
    if (fits(middle)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

UnitsPlan price(const UnitsProblem& problem, std::span<const std::size_t> options,
                BackboneDegrees backbone, std::span<const std::uint32_t> data) {
  LONGHAUL_ASSERT(options.size() == problem.units.size() && data.size() == options.size());
  UnitsPlan plan;
  plan.micro_batches = micro_batches_of(problem, backbone);
  for (std::size_t u = 0; u < options.size(); ++u) {
    const bool is_backbone = u == problem.backbone;
    const UnitOption& option = problem.units[u].options[options[u]];
    UnitPlacement place{.option = options[u],
                        .pool = option.pool,
                        .tensor = option.tensor,
                        .data = data[u],
                        .pipeline = is_backbone ? backbone.pipeline : 1};
    place.round_s = round_s(problem, u, option, backbone, data[u]);
    place.memory_bytes = memory_need(problem, u, option, backbone, data[u]).total();
    plan.fill_s += is_backbone ? problem.micro_batch * option.sample_s : place.round_s;
    if (place.round_s > plan.bottleneck_s) {
      plan.bottleneck_s = place.round_s;
      plan.bottleneck = u;
    }
    plan.devices_used += place.devices();
    plan.units.push_back(place);
  }
  plan.step_s = plan.fill_s + plan.bottleneck_s * (plan.micro_batches - 1);
  plan.mfu = mfu_at(problem, plan, plan.step_s);
  return plan;
}

double mfu_at(const UnitsProblem& problem, const UnitsPlan& plan, double step_s) {
  double flops = 0;
  double peak = 0;
  for (std::size_t u = 0; u < plan.units.size(); ++u) {
    const double rate = problem.pools[plan.units[u].pool].peak_flops_per_s;
    if (rate <= 0.0) return 0.0;
    flops += problem.units[u].flops * problem.batch;
    peak += rate * plan.units[u].devices();
  }
  return flops / (step_s * peak);
}

double one_f_one_b_s(const UnitsProblem& problem, const UnitsPlan& plan, double forward) {
  LONGHAUL_ASSERT(forward > 0.0 && forward < 1.0);
  // An uneven backbone has its fuller stages first.
  std::vector<double> stage_s;
  for (std::size_t u = 0; u < plan.units.size(); ++u) {
    const std::uint32_t stages = plan.units[u].pipeline;
    if (u != problem.backbone) {
      stage_s.push_back(plan.units[u].round_s);
      continue;
    }
    const std::uint32_t most = (problem.layers + stages - 1) / stages;
    const double layer_s = plan.units[u].round_s / most;
    for (std::uint32_t s = 0; s < stages; ++s) {
      const std::uint32_t layers = problem.layers / stages + (s < problem.layers % stages ? 1 : 0);
      stage_s.push_back(layer_s * layers);
    }
  }
  std::vector<double> forward_s;
  std::vector<double> backward_s;
  for (const double seconds : stage_s) {
    forward_s.insert(forward_s.end(), plan.micro_batches, seconds * forward);
    backward_s.insert(backward_s.end(), plan.micro_batches, seconds * (1.0 - forward));
  }
  return PipelineClock(proto::ScheduleKind::kOneForwardOneBackward,
                       static_cast<std::uint32_t>(stage_s.size()), plan.micro_batches)
      .total_s({.forward_s = forward_s, .input_gradient_s = backward_s});
}

}  // namespace longhaul::scheduler
