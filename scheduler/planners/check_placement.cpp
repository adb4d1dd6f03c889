// The one validator of plans.
#include "scheduler/planners/evaluation.hpp"

#include "proto/text.hpp"
#include "scheduler/planners/placement_work.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace longhaul::scheduler {
namespace {

using Kind = Violation::Kind;
using proto::quoted;

constexpr double kSecondsPerHour = 3600.0;
// A stage whose operators' sum is less of its device's memory fits for all that a search cares.
constexpr double kTight = 0.5;

std::string bytes_text(double bytes) {
  return human_bytes(static_cast<std::uint64_t>(std::llround(std::min(bytes, 9e18))));
}

std::string device_text(const PlanTables& tables, std::size_t index) {
  const FleetDevice& device = tables.problem().fleet.devices[index];
  return fmt::format("device {} of node {}", quoted(device.device), quoted(device.node));
}

// What is wrong with the stages themselves; nothing else can be asked of them then.
std::vector<std::string> misplaced(const PlanningProblem& problem, const PlacedPipeline& placed) {
  if (placed.workload >= problem.workloads.size()) return {"a workload that is not there"};
  if (placed.stages.empty()) return {"a plan without stages"};
  std::vector<std::string> wrong;
  const std::size_t operators = problem.workloads[placed.workload].operators.size();
  std::size_t next = 0;
  std::vector<bool> used(problem.fleet.devices.size());
  for (std::size_t s = 0; s < placed.stages.size(); ++s) {
    const PlacedStage& stage = placed.stages[s];
    if (stage.device >= problem.fleet.devices.size()) {
      wrong.push_back(fmt::format("stage {} is on a device that is not there", s));
    } else if (used[stage.device]) {
      wrong.push_back(fmt::format("stage {} is on a device that another stage has", s));
    } else {
      used[stage.device] = true;
    }
    if (stage.first != next || stage.end <= stage.first || stage.end > operators) {
      wrong.push_back(
          fmt::format("stage {} has operators {} to {}; it must begin at {} and hold "
                      "at least one of {}",
                      s, stage.first, stage.end, next, operators));
    }
    next = stage.end;
  }
  if (wrong.empty() && next != operators) {
    wrong.push_back(fmt::format("{} of {} operators are placed", next, operators));
  }
  if (!placed.codecs.empty() && placed.codecs.size() != placed.stages.size()) {
    wrong.emplace_back("not as many links' codecs as stages");
  }
  const std::size_t codecs = std::max<std::size_t>(1, problem.codecs.size());
  for (const PlacedPipeline::LinkCodecs& link : placed.codecs) {
    if (link.forward >= codecs || link.backward >= codecs) {
      wrong.emplace_back("a codec that is not there");
      break;
    }
  }
  return wrong;
}

// Number and order of devices, settings: what planners hold to by construction.
std::vector<Violation> broken_choices(const PlanningProblem& problem,
                                      const PlacedPipeline& placed) {
  std::vector<Violation> broken;
  const PlanConstraints& constraints = problem.constraints;
  const auto add = [&](Kind kind, std::string message) {
    broken.push_back({.kind = kind, .message = std::move(message)});
  };
  if (std::ranges::find(problem.schedules, placed.schedule) == problem.schedules.end()) {
    add(Kind::kPlacement,
        fmt::format("schedule {} may not be chosen", proto::schedule_name(placed.schedule)));
  }
  if (std::ranges::find(problem.run_ahead, placed.run_ahead) == problem.run_ahead.end()) {
    add(Kind::kPlacement, fmt::format("run_ahead {} may not be chosen", placed.run_ahead));
  }
  if (constraints.devices != 0 && placed.stages.size() != constraints.devices) {
    add(Kind::kPlacement, fmt::format("{} stages, and the plan is to use {} devices",
                                      placed.stages.size(), constraints.devices));
  }
  if (constraints.keep_order && !std::ranges::is_sorted(placed.stages, {}, &PlacedStage::device)) {
    add(Kind::kPlacement, "the stages are not in the fleet's order");
  }
  for (std::size_t s = 0; s < placed.stages.size(); ++s) {
    const std::string& node = problem.fleet.devices[placed.stages[s].device].node;
    if (constraints.excluded_nodes.contains(node)) {
      add(Kind::kExcluded,
          fmt::format("stage {} is on node {}, which is excluded", s, quoted(node)));
    }
  }
  return broken;
}

std::string parts_text(const PlanningProblem& problem, const PlacedPipeline& placed,
                       const PipelineWork& work, std::size_t stage, std::uint32_t in_flight) {
  if (problem.stage_memory) return describe(problem.stage_memory(problem, placed, stage).memory);
  const StageMemory& memory = work.stages[stage].memory;
  return fmt::format(
      "state and boundaries {}, activations {} ({} micro-batch{} of {}), workspace {}{}",
      bytes_text(memory.resident), bytes_text(in_flight * memory.saved), in_flight,
      in_flight == 1 ? "" : "es", bytes_text(memory.saved),
      bytes_text(memory.forward_peak - memory.saved),
      memory.exchange > 0.0 ? ", or exchange of tied gradients " + bytes_text(memory.exchange)
                            : "");
}

std::string describe_memory(const PlanTables& tables, const PlacedPipeline& placed,
                            const PipelineWork& work, const Breach& breach) {
  const PlacedStage& stage = placed.stages[breach.at];
  const auto& operators = tables.workload(placed.workload).workload().operators;
  const auto schedule = tables.book().of(tables.schedule_key(placed, placed.stages.size()));
  const std::uint32_t in_flight = schedule->in_flight[breach.at];
  std::string ways;
  if (stage.end - stage.first > 1) ways += "more devices, ";
  if (tables.workload(placed.workload).workload().micro_batch_size > 1) {
    ways += "smaller micro-batches, ";
  }
  if (in_flight > 1) ways += "fewer micro-batches in flight (1f1b, a smaller run_ahead), ";
  return fmt::format(
      "memory: stage {} (operators {} to {}) needs {} on {}, which has {}: {}; {}or {} more memory "
      "there",
      breach.at, quoted(operators[stage.first].id), quoted(operators[stage.end - 1].id),
      bytes_text(breach.need), device_text(tables, stage.device), bytes_text(breach.limit),
      parts_text(tables.problem(), placed, work, breach.at, in_flight), ways,
      bytes_text(std::ceil(breach.need - breach.limit)));
}

}  // namespace

bool data_reaches(const PlanTables& tables, const std::vector<PlacedStage>& stages,
                  std::size_t stage) {
  const Fleet& fleet = tables.problem().fleet;
  const auto has_data = [&](const PlacedStage& placed) {
    return fleet.devices[placed.device].has_data;
  };
  if (has_data(stages[stage])) return true;
  const auto sender = std::ranges::find_if(stages, has_data);
  if (sender - stages.begin() > static_cast<std::ptrdiff_t>(stage)) return false;
  return !tables.problem().constraints.data_stays ||
         fleet.site_of(sender->device) == fleet.site_of(stages[stage].device);
}

std::vector<Breach> breaches(const PlanTables& tables, const PlacedPipeline& placed,
                             const PipelineWork& work, const PlanCost& cost, double step_s,
                             MemoryCheck check) {
  std::vector<Breach> found;
  const PlanningProblem& problem = tables.problem();
  for (const PlanTables::Pin& pin : tables.pins()) {
    const auto after = std::ranges::upper_bound(placed.stages, pin.op, {}, &PlacedStage::first);
    const auto stage = static_cast<std::size_t>(after - placed.stages.begin()) - 1;
    if (problem.fleet.devices[placed.stages[stage].device].node != pin.node) {
      found.push_back({.kind = Kind::kPin, .at = stage, .op = pin.op});
    }
  }
  const WorkloadTables& sums = tables.workload(placed.workload);
  const auto schedule = tables.book().of(tables.schedule_key(placed, placed.stages.size()));
  for (std::size_t s = 0; s < placed.stages.size(); ++s) {
    const auto [device, first, end] = placed.stages[s];
    if (sums.needs_data(first, end) && !data_reaches(tables, placed.stages, s)) {
      std::size_t op = first;
      while (!sums.needs_data(op, op + 1)) ++op;
      found.push_back({.kind = Kind::kData, .at = s, .op = op});
    }
    double need = peak_bytes(work.stages[s].memory, schedule->in_flight[s]);
    auto has = static_cast<double>(problem.fleet.devices[device].memory_bytes);
    if (problem.stage_memory && (check == MemoryCheck::kEveryStage || need > kTight * has)) {
      const StageNeed exact = problem.stage_memory(problem, placed, s);
      need = static_cast<double>(exact.memory.total());
      has = static_cast<double>(exact.capacity_bytes);
    }
    if (need > has) found.push_back({.kind = Kind::kMemory, .at = s, .need = need, .limit = has});
  }
  for (std::size_t site = 0; site < problem.fleet.sites.size(); ++site) {
    const double limit = problem.fleet.sites[site].egress_bytes_per_hour;
    if (!std::isfinite(limit) || cost.egress_bytes[site] <= 0.0) continue;
    const double need = cost.egress_bytes[site] / step_s * kSecondsPerHour;
    if (need > limit) {
      found.push_back({.kind = Kind::kEgress, .at = site, .need = need, .limit = limit});
    }
  }
  if (problem.objective == Objective::kCostUnderDeadline && step_s > problem.deadline_s) {
    found.push_back({.kind = Kind::kDeadline, .need = step_s, .limit = problem.deadline_s});
  }
  return found;
}

std::string describe(const PlanTables& tables, const PlacedPipeline& placed,
                     const PipelineWork& work, const Breach& breach) {
  const PlanningProblem& problem = tables.problem();
  const auto& operators = tables.workload(placed.workload).workload().operators;
  const auto device = [&] { return device_text(tables, placed.stages[breach.at].device); };
  switch (breach.kind) {
    case Kind::kPin:
      return fmt::format(
          "pin: operator {} must be on node {}, and stage {} is on {}; another "
          "planner or another order of devices may hold the pin",
          quoted(operators[breach.op].id),
          quoted(problem.constraints.pins.at(operators[breach.op].id)), breach.at, device());
    case Kind::kData:
      return fmt::format(
          "data: stage {} on {} needs data for operator {}, and it neither has them "
          "nor gets them from an earlier stage{}; let a node that has the data join "
          "or come first",
          breach.at, device(), quoted(operators[breach.op].id),
          problem.constraints.data_stays ? " at its site" : "");
    case Kind::kMemory:
      return describe_memory(tables, placed, work, breach);
    case Kind::kEgress:
      return fmt::format(
          "egress: site {} would send {} per hour, and its cap is {}: {} too much; "
          "a stronger codec, a higher cap, or fewer links out of the site would fit",
          quoted(problem.fleet.sites[breach.at].name), bytes_text(breach.need),
          bytes_text(breach.limit), bytes_text(breach.need - breach.limit));
    case Kind::kDeadline:
      return fmt::format(
          "deadline: a step takes {:.4g} s, and the deadline is {:.4g} s: {:.4g} s "
          "too long; more or faster devices, or a deadline of {:.4g} s, would fit",
          breach.need, breach.limit, breach.need - breach.limit, breach.need);
    case Kind::kPlacement:
    case Kind::kExcluded:
      break;
  }
  return "a placement that does not hold";
}

std::vector<Violation> check_placement(const PlanningProblem& problem,
                                       const PlacedPipeline& placed) {
  std::vector<Violation> found;
  for (std::string& message : misplaced(problem, placed)) {
    found.push_back({.kind = Kind::kPlacement, .message = std::move(message)});
  }
  if (!found.empty()) return found;
  found = broken_choices(problem, placed);
  const PlanTables tables(problem);
  const PipelineWork work = placement_work(tables, placed);
  const bool timed = problem.objective == Objective::kCostUnderDeadline ||
                     std::ranges::any_of(problem.fleet.sites, [](const Site& site) {
                       return std::isfinite(site.egress_bytes_per_hour);
                     });
  const double step_s = timed ? simulate(work).step_s : 1.0;
  const PlanCost cost = placement_cost(tables, placed, work, step_s);
  for (const Breach& breach : breaches(tables, placed, work, cost, step_s)) {
    found.push_back({.kind = breach.kind, .message = describe(tables, placed, work, breach)});
  }
  return found;
}

}  // namespace longhaul::scheduler
