// Simulates the plan once more, with its timeline, and reads the rows off.
#include "daemon/planning/plan_report.hpp"

#include "proto/pipeline_schedule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace longhaul::daemon {
namespace {

using scheduler::FleetDevice;
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

StageRow stage_row(const ReportInput& input, const PlacedPipeline& placed, const proto::Plan& plan,
                   const std::vector<proto::Shape>& shapes, const scheduler::PipelineWork& work,
                   const Simulation& outcome, std::size_t s) {
  const FleetDevice& device = device_of(input.problem, placed, s);
  const auto& stage = placed.stages[s];
  StageRow row;
  row.node = device.node;
  row.device = device.device;
  row.site = input.problem.fleet.sites[input.problem.fleet.site_of(stage.device)].name;
  row.first_operator = input.graph.operators[stage.first].id;
  row.last_operator = input.graph.operators[stage.end - 1].id;
  row.operators = stage.end - stage.first;
  row.compute_s = work.stages[s].time(0).sum();
  row.busy_share = outcome.stages[s].compute_s / outcome.step_s;
  row.wait_share = outcome.stages[s].wait_s / outcome.step_s;
  row.memory = scheduler::estimate_memory(
      input.graph, plan, proto::StageIndex{static_cast<std::uint32_t>(s)}, shapes, input.memory);
  row.memory_bytes = row.memory.total();
  row.capacity_bytes = device.memory_bytes;
  return row;
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
std::vector<std::size_t> devices_by_kind(const PlanningProblem& problem,
                                         const PlacedPipeline& placed) {
  std::vector<std::size_t> devices;
  std::set<std::string> kinds;
  for (const auto& stage : placed.stages) {
    if (kinds.insert(problem.fleet.devices[stage.device].kind).second) {
      devices.push_back(stage.device);
    }
  }
  return devices;
}

}  // namespace

proto::Plan plan_of(const ReportInput& input, const PlacedPipeline& placed,
                    proto::PlanEpoch epoch) {
  proto::Plan plan;
  plan.epoch = epoch;
  plan.schedule = placed.schedule;
  plan.run_ahead = placed.run_ahead;
  plan.micro_batches = placed.micro_batches(input.problem);
  plan.micro_batch_size = input.problem.workloads[placed.workload].micro_batch_size;
  for (std::size_t s = 0; s < placed.stages.size(); ++s) {
    const FleetDevice& device = device_of(input.problem, placed, s);
    proto::Stage stage{.node = device.node,
                       .device = device.device,
                       .threads = device.threads,
                       .operators = {},
                       .has_data = device.has_data};
    for (std::size_t i = placed.stages[s].first; i < placed.stages[s].end; ++i) {
      stage.operators.push_back(proto::OperatorIndex{static_cast<std::uint32_t>(i)});
    }
    plan.stages.push_back(std::move(stage));
  }
  return plan;
}

PlanReport report_of(const ReportInput& input, const PlacedPipeline& placed,
                     const std::string& planner) {
  const PlanningProblem& problem = input.problem;
  const proto::Plan plan = plan_of(input, placed, {});
  const auto shapes =
      proto::infer_shapes(input.graph, {.batch = plan.micro_batch_size, .sequence = input.sequence})
          .value();
  const scheduler::PipelineWork work = scheduler::work_of(problem, placed);
  PlanReport report;
  report.model = problem.workloads[placed.workload].name;
  report.planner = planner;
  report.schedule = proto::schedule_name(placed.schedule);
  report.run_ahead = placed.run_ahead;
  report.micro_batches = plan.micro_batches;
  report.micro_batch_size = plan.micro_batch_size;
  report.simulation = scheduler::simulate(work, {.steps = kSteps, .timeline = true});
  report.cost = scheduler::cost_of(problem, placed, report.simulation);
  for (std::size_t s = 0; s < placed.stages.size(); ++s) {
    report.stages.push_back(stage_row(input, placed, plan, shapes, work, report.simulation, s));
  }
  const double busiest_s =
      std::ranges::max(report.simulation.stages, {}, &scheduler::StageOutcome::compute_s).compute_s;
  for (std::size_t t = 0; t < work.transfers.size(); ++t) {
    report.transfers.emplace_back(work.transfers[t].from, work.transfers[t].to);
    report.links.push_back(link_row(problem, placed, work, report.simulation, busiest_s, t));
  }
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

std::vector<WhatIf> what_ifs_of(const PlanningProblem& problem, const PlacedPipeline& placed,
                                scheduler::PlannerKind planner,
                                const scheduler::PlannerBudget& budget) {
  std::vector<WhatIf> what_ifs;
  PlanningProblem changed = problem;
  std::set<std::uint64_t> seen;
  for (std::size_t s = 0; s + 1 < placed.stages.size(); ++s) {
    for (const bool backward : {false, true}) {
      const std::size_t from = placed.stages[backward ? s + 1 : s].device;
      const std::size_t to = placed.stages[backward ? s : s + 1].device;
      if (!seen.insert(problem.fleet.shared_path(from, to)).second) continue;
      changed.fleet = problem.fleet;
      if (problem.fleet.path(from, to).bytes_per_s == scheduler::kUnlimited) continue;
      double_bandwidth(changed.fleet, from, to);
      PlacedPipeline again = placed;
      scheduler::choose_codecs(changed, again);
      what_ifs.push_back(
          {fmt::format("twice the bandwidth from {} to {}", problem.fleet.devices[from].node,
                       problem.fleet.devices[to].node),
           scheduler::simulated_cost(changed, again).step_s});
    }
  }
  for (const std::size_t like : devices_by_kind(problem, placed)) {
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
    const auto plan = scheduler::make_plan(changed, planner, budget);
    if (!plan) continue;
    what_ifs.push_back(
        {fmt::format("one more {} at {}", more.kind, problem.fleet.sites[host.site].name),
         scheduler::simulated_cost(changed, *plan).step_s});
  }
  std::ranges::stable_sort(what_ifs, {}, &WhatIf::step_s);
  return what_ifs;
}

}  // namespace longhaul::daemon
