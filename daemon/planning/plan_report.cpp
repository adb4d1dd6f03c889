// Simulates the plan once more, with its timeline, and reads the rows off.
#include "daemon/planning/plan_report.hpp"

#include "proto/pipeline_schedule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

namespace longhaul::daemon {
namespace {

using scheduler::FleetDevice;
using scheduler::GroupedPlan;
using scheduler::PlacedPipeline;
using scheduler::PlanningProblem;
using scheduler::Simulation;

constexpr double kMostlyElsewhere = 0.5;
// As planners judge.
constexpr std::uint32_t kSteps = 1;

const FleetDevice& device_of(const PlanningProblem& problem, const PlacedPipeline& placed,
                             std::size_t stage) {
  return problem.fleet.devices[placed.stages[stage].device];
}

std::string percent(double share) { return fmt::format("{:.0f} %", 100.0 * share); }

StageRow stage_row(const PlanningProblem& problem, const PlacedPipeline& placed,
                   const scheduler::PipelineWork& work, const Simulation& outcome, std::size_t s) {
  const FleetDevice& device = device_of(problem, placed, s);
  const auto& stage = placed.stages[s];
  const auto& operators = problem.workloads[placed.workload].operators;
  const scheduler::StageNeed need = problem.stage_memory(problem, placed, s);
  StageRow row;
  row.node = device.node;
  row.device = device.device;
  row.site = problem.fleet.sites[problem.fleet.site_of(stage.device)].name;
  row.first_operator = operators[stage.first].id;
  row.last_operator = operators[stage.end - 1].id;
  row.operators = stage.end - stage.first;
  for (const scheduler::StageTime& time : work.stages[s].times) row.compute_s += time.sum();
  row.compute_s /= static_cast<double>(work.stages[s].times.size());
  row.busy_share = outcome.stages[s].compute_s / outcome.step_s;
  row.wait_share = outcome.stages[s].wait_s / outcome.step_s;
  row.memory = need.memory;
  row.memory_bytes = need.memory.total();
  row.capacity_bytes = need.capacity_bytes;
  return row;
}

void add_spread(const scheduler::Fleet& fleet, const scheduler::StageGroup& group, StageRow& row) {
  if (group.alone()) return;
  for (const std::size_t d : group.devices) {
    const FleetDevice& device = fleet.devices[d];
    if (d == group.devices.front()) continue;
    row.more_devices.push_back(device.node + " " + device.device);
  }
  for (const scheduler::StrategyRun& run : group.runs) {
    row.spreads.push_back({run.operators, scheduler::strategy_text(run.strategy)});
  }
}

LinkRow link_row(const PlanningProblem& problem, const PlacedPipeline& placed,
                 const scheduler::PipelineWork& work, const Simulation& outcome, double busiest_s,
                 std::size_t t) {
  const scheduler::TransferWork& transfer = work.transfers[t];
  const auto& codecs = placed.codecs[std::min(transfer.from, transfer.to)];
  const scheduler::CodecOption& codec =
      problem.codecs[transfer.backward ? codecs.backward : codecs.forward];
  const scheduler::PathWork& path = work.paths[transfer.path];
  LinkRow row;
  row.from = transfer.from;
  row.to = transfer.to;
  row.backward = transfer.backward;
  row.bytes = transfer.bytes_of(0);
  row.dense_bytes = row.bytes / codec.ratio;
  row.codec = codec.name;
  row.transfer_s = transfer.encode_s + transfer.decode_s + path.delay_s + path.per_message_s +
                   row.bytes / path.bytes_per_s;
  row.late_s = outcome.transfers[t].late_s;
  row.hidden = outcome.transfers[t].wire_s <= busiest_s;
  return row;
}

struct TiedExchange {
  std::size_t from = 0;
  std::size_t to = 0;
  double bytes = 0.0;
};

// What stages send each other at the end of a step, of all tied parameters together.
std::vector<TiedExchange> tied_exchanges(const scheduler::PipelineWork& work) {
  std::map<std::pair<std::size_t, std::size_t>, double> sums;
  for (const scheduler::TiedWork& tied : work.tied) {
    for (const std::size_t from : tied.stages) {
      for (const std::size_t to : tied.stages) {
        if (from != to) sums[{from, to}] += tied.bytes;
      }
    }
  }
  std::vector<TiedExchange> found;
  for (const auto& [stages, bytes] : sums) found.push_back({stages.first, stages.second, bytes});
  return found;
}

// They begin when nothing else is left to do, so nothing hides them: what the step takes longer
// than without them is how late they are.
std::vector<LinkRow> tied_rows(const scheduler::PipelineWork& work, double step_s) {
  std::vector<LinkRow> rows;
  if (work.tied.empty()) return rows;
  scheduler::PipelineWork without = work;
  without.tied.clear();
  const double adds_s =
      std::max(0.0, step_s - scheduler::simulate(without, {.steps = kSteps}).step_s);
  for (const auto& [from, to, bytes] : tied_exchanges(work)) {
    const scheduler::PathWork& path = work.paths[work.between[from * work.stages.size() + to]];
    LinkRow row;
    row.from = from;
    row.to = to;
    row.backward = from > to;
    row.tied = true;
    row.bytes = row.dense_bytes = bytes;
    row.codec = "dense";
    row.transfer_s = path.delay_s + path.per_message_s + bytes / path.bytes_per_s;
    row.late_s = std::min(adds_s, row.transfer_s);
    rows.push_back(std::move(row));
  }
  return rows;
}

void double_bandwidth(scheduler::Fleet& fleet, std::size_t from, std::size_t to) {
  const std::pair hosts{fleet.devices[from].host, fleet.devices[to].host};
  if (hosts.first == hosts.second) {
    fleet.within_host.bytes_per_s *= 2.0;
  } else if (const auto found = fleet.between_hosts.find(hosts);
             found != fleet.between_hosts.end()) {
    found->second.bytes_per_s *= 2.0;
  } else {
    fleet.between_sites[fleet.site_of(from) * fleet.sites.size() + fleet.site_of(to)].bytes_per_s *=
        2.0;
  }
}

// The device that one more of the same kind would stand beside.
std::vector<std::size_t> devices_by_kind(const scheduler::Fleet& fleet, const GroupedPlan& plan) {
  std::vector<std::size_t> devices;
  std::set<std::string> kinds;
  for (const scheduler::StageGroup& stage : plan.stages) {
    for (const std::size_t d : stage.devices) {
      if (kinds.insert(fleet.devices[d].kind).second) devices.push_back(d);
    }
  }
  return devices;
}

// Pairs of stages that exchange something, both ways, each once.
std::vector<std::pair<std::size_t, std::size_t>> linked(const scheduler::PipelineWork& work) {
  std::vector<std::pair<std::size_t, std::size_t>> pairs;
  for (const scheduler::TransferWork& transfer : work.transfers) {
    pairs.emplace_back(transfer.from, transfer.to);
  }
  for (const auto& [from, to, bytes] : tied_exchanges(work)) pairs.emplace_back(from, to);
  return pairs;
}

}  // namespace

PlanReport report_of(const scheduler::Fleet& fleet, const GroupedPlan& plan,
                     const std::string& planner) {
  const PlanningProblem& problem = plan.problem;
  const PlacedPipeline& placed = plan.placed;
  const scheduler::PipelineWork work = scheduler::work_of(problem, placed);
  PlanReport report;
  report.model = problem.workloads[placed.workload].name;
  report.planner = planner;
  report.schedule = proto::schedule_name(placed.schedule);
  report.run_ahead = placed.run_ahead;
  report.micro_batches = placed.micro_batches(problem);
  report.micro_batch_size = problem.workloads[placed.workload].micro_batch_size;
  report.runs_today = plan.runs_today();
  report.simulation = scheduler::simulate(work, {.steps = kSteps, .timeline = true});
  report.cost = scheduler::cost_of(problem, placed, report.simulation);
  for (std::size_t s = 0; s < placed.stages.size(); ++s) {
    report.stages.push_back(stage_row(problem, placed, work, report.simulation, s));
    add_spread(fleet, plan.stages[s], report.stages.back());
  }
  const double busiest_s =
      std::ranges::max(report.simulation.stages, {}, &scheduler::StageOutcome::compute_s).compute_s;
  for (std::size_t t = 0; t < work.transfers.size(); ++t) {
    report.transfers.emplace_back(work.transfers[t].from, work.transfers[t].to);
    report.links.push_back(link_row(problem, placed, work, report.simulation, busiest_s, t));
  }
  for (LinkRow& row : tied_rows(work, report.cost.step_s)) report.links.push_back(std::move(row));
  report.bottleneck = bottleneck_of(problem, placed, work, report.simulation);
  return report;
}

std::string bottleneck_of(const PlanningProblem& problem, const PlacedPipeline& placed,
                          const scheduler::PipelineWork& work, const Simulation& outcome) {
  const auto busiest = std::ranges::max_element(
      outcome.stages, {},
      [](const scheduler::StageOutcome& stage) { return stage.compute_s + stage.decode_s; });
  const auto stage = static_cast<std::size_t>(busiest - outcome.stages.begin());
  const double busy_s = busiest->compute_s + busiest->decode_s;
  // The busiest, not the one that is waited for the longest: waiting spreads to the stages before.
  const auto fullest =
      std::ranges::max_element(outcome.transfers, {}, &scheduler::TransferOutcome::wire_s);
  if (fullest != outcome.transfers.end() && fullest->wire_s > busy_s) {
    const auto& transfer =
        work.transfers[static_cast<std::size_t>(fullest - outcome.transfers.begin())];
    return fmt::format("the link {} -> {} is busy for {} of the step",
                       device_of(problem, placed, transfer.from).node,
                       device_of(problem, placed, transfer.to).node,
                       percent(fullest->wire_s / outcome.step_s));
  }
  const double elsewhere = 1.0 - (busy_s + busiest->wait_s) / outcome.step_s;
  if (elsewhere > kMostlyElsewhere) {
    return fmt::format("the step's end: tied gradients, agreement and update take {} of it",
                       percent(elsewhere));
  }
  return fmt::format("stage {} on {} computes for {} of the step", stage,
                     device_of(problem, placed, stage).node, percent(busy_s / outcome.step_s));
}

std::vector<WhatIf> what_ifs_of(const PlanningProblem& problem, const GroupedPlan& plan,
                                scheduler::PlannerKind planner,
                                const scheduler::PlannerBudget& budget) {
  std::vector<WhatIf> what_ifs;
  const PlacedPipeline& placed = plan.placed;
  PlanningProblem changed = plan.problem;
  std::set<std::uint64_t> seen;
  for (const auto& [a, b] : linked(scheduler::work_of(plan.problem, placed))) {
    const std::size_t from = placed.stages[a].device;
    const std::size_t to = placed.stages[b].device;
    if (!seen.insert(plan.problem.fleet.shared_path(from, to)).second) continue;
    if (plan.problem.fleet.path(from, to).bytes_per_s == scheduler::kUnlimited) continue;
    changed.fleet = plan.problem.fleet;
    double_bandwidth(changed.fleet, from, to);
    PlacedPipeline again = placed;
    scheduler::choose_codecs(changed, again);
    what_ifs.push_back(
        {fmt::format("twice the bandwidth from {} to {}", changed.fleet.devices[from].node,
                     changed.fleet.devices[to].node),
         scheduler::simulated_cost(changed, again).step_s});
  }
  changed = problem;
  for (const std::size_t like : devices_by_kind(problem.fleet, plan)) {
    changed.fleet = problem.fleet;
    FleetDevice more = problem.fleet.devices[like];
    more.node += "+1";
    scheduler::Host host = changed.fleet.hosts[more.host];
    host.name += "+1";
    host.machine.clear();
    more.host = changed.fleet.hosts.size();
    changed.fleet.hosts.push_back(host);
    changed.fleet.devices.push_back(more);
    if (problem.constraints.devices > 0) {
      changed.constraints.devices = problem.constraints.devices + 1;
    }
    const auto better = scheduler::make_grouped_plan(changed, planner, budget);
    if (!better) continue;
    what_ifs.push_back(
        {fmt::format("one more {} at {}", more.kind, problem.fleet.sites[host.site].name),
         scheduler::simulated_cost(better->problem, better->placed).step_s});
  }
  std::ranges::stable_sort(what_ifs, {}, &WhatIf::step_s);
  return what_ifs;
}

}  // namespace longhaul::daemon
