// Fleets and workloads of groups, their memory, and the search for strategies that fit.
#include "scheduler/groups/grouped_problem.hpp"

#include "proto/assert.hpp"
#include "scheduler/groups/spread_operators.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace longhaul::scheduler {
namespace {

// Checkpoints may leave so much of the activations.
constexpr double kHopedActivations = 0.25;
constexpr double kStricter = 1.3;
constexpr int kRaises = 60;
constexpr int kBisections = 10;

// From the operators' sums, where the problem has no better estimate.
MemoryEstimate summed(const PlanningProblem& problem, const PlacedPipeline& placed,
                      std::size_t index) {
  const Workload& workload = problem.workloads[placed.workload];
  const PlacedStage& stage = placed.stages[index];
  double parameters = 0.0, gradients = 0.0, saved = 0.0, workspace = 0.0;
  for (std::size_t op = stage.first; op < stage.end; ++op) {
    const WorkloadOperator& described = workload.operators[op];
    parameters += std::max(0.0, described.state_bytes - 3.0 * described.parameter_bytes);
    gradients += described.parameter_bytes;
    saved += described.saved_bytes;
    workspace = std::max(workspace, described.workspace_bytes);
  }
  const std::vector<double> cuts = workload.cut_bytes();
  const double boundary =
      2.0 * cuts[stage.first] + (stage.end < cuts.size() ? 2.0 * cuts[stage.end] : 0.0);
  ScheduleBook book;
  const auto schedule = book.of({.kind = placed.schedule,
                                 .stages = static_cast<std::uint32_t>(placed.stages.size()),
                                 .micro_batches = placed.micro_batches(problem),
                                 .run_ahead = placed.run_ahead});
  const auto bytes = [](double value) { return static_cast<std::uint64_t>(std::ceil(value)); };
  MemoryEstimate estimate;
  estimate.in_flight = schedule->in_flight[index];
  estimate.parameters = bytes(parameters);
  estimate.gradients = bytes(gradients);
  estimate.optimizer = bytes(2.0 * gradients);
  estimate.saved_per_micro_batch = bytes(saved);
  estimate.activations = bytes(estimate.in_flight * saved);
  estimate.workspace = bytes(workspace);
  estimate.boundary = bytes(boundary);
  return estimate;
}

// Whose node the stage's data is at.
std::size_t representative(const Fleet& fleet, const std::vector<std::size_t>& group) {
  const auto with_data =
      std::ranges::find_if(group, [&](std::size_t d) { return fleet.devices[d].has_data; });
  return with_data == group.end() ? group.front() : *with_data;
}

bool one_machine(const Fleet& fleet, std::size_t a, std::size_t b) {
  const Host& first = fleet.hosts[fleet.devices[a].host];
  const Host& second = fleet.hosts[fleet.devices[b].host];
  return fleet.devices[a].host == fleet.devices[b].host ||
         (!first.machine.empty() && first.machine == second.machine);
}

FleetDevice device_of(const Fleet& fleet, const std::vector<std::size_t>& group) {
  FleetDevice device = fleet.devices[group.front()];
  if (group.size() == 1) return device;
  device.speed = 1.0;
  for (std::size_t i = 1; i < group.size(); ++i) {
    const FleetDevice& other = fleet.devices[group[i]];
    // Processors of further machines are not shared with other stages.
    if (one_machine(fleet, group.front(), group[i])) device.threads += other.threads;
    device.memory_bytes += other.memory_bytes;
    device.price_per_hour += other.price_per_hour;
    device.has_data = device.has_data || other.has_data;
    if (device.peak_flops_per_s > 0.0) {
      device.peak_flops_per_s =
          other.peak_flops_per_s > 0.0 ? device.peak_flops_per_s + other.peak_flops_per_s : 0.0;
    }
  }
  return device;
}

MemoryEstimate scaled(const MemoryEstimate& estimate, double factor, double activations) {
  const auto part = [](std::uint64_t bytes, double by) {
    return static_cast<std::uint64_t>(std::ceil(static_cast<double>(bytes) * by));
  };
  MemoryEstimate made = estimate;
  for (std::uint64_t* bytes : {&made.parameters, &made.gradients, &made.optimizer, &made.exchange,
                               &made.workspace, &made.boundary}) {
    *bytes = part(*bytes, factor);
  }
  made.activations = part(made.activations, factor * activations);
  return made;
}

}  // namespace

GroupedProblem::GroupedProblem(std::shared_ptr<const PlanningProblem> base, Groups groups)
    : base_(std::move(base)),
      groups_(std::make_shared<const Groups>(std::move(groups))),
      costs_(std::make_shared<Costs>()),
      strictness_(groups_->size(), 1.0) {
  for (const Workload& workload : base_->workloads) {
    auto& costs = costs_->emplace_back();
    auto& chosen = chosen_.emplace_back();
    for (const std::vector<std::size_t>& group : *groups_) {
      chosen.emplace_back();
      if (group.size() == 1) {
        costs.push_back(nullptr);
        continue;
      }
      costs.push_back(std::make_shared<const GroupCosts>(base_->fleet, workload, group));
      chosen.back() = spread_operators(
          *costs.back(),
          {.micro_batches = static_cast<double>(base_->batch) / workload.micro_batch_size});
    }
  }
}

PlanningProblem GroupedProblem::common() const {
  PlanningProblem problem;
  problem.fleet = base_->fleet;
  problem.fleet.devices.clear();
  problem.batch = base_->batch;
  problem.schedules = base_->schedules;
  problem.run_ahead = base_->run_ahead;
  problem.codecs = base_->codecs;
  problem.objective = base_->objective;
  problem.deadline_s = base_->deadline_s;
  problem.micro_batch_costs = base_->micro_batch_costs;
  problem.constraints.data_stays = base_->constraints.data_stays;
  problem.constraints.keep_order = base_->constraints.keep_order;
  problem.constraints.pins = base_->constraints.pins;  // to groups, below
  for (const std::vector<std::size_t>& group : *groups_) {
    problem.fleet.devices.push_back(device_of(base_->fleet, group));
    const FleetDevice& made = problem.fleet.devices.back();
    for (const std::size_t d : group) {
      for (const auto& [op, node] : base_->constraints.pins) {
        if (node == base_->fleet.devices[d].node) problem.constraints.pins[op] = made.node;
      }
    }
  }
  for (std::size_t w = 0; w < base_->workloads.size(); ++w) {
    problem.workloads.push_back(workload_of(w, problem.fleet.devices));
  }
  return problem;
}

Workload GroupedProblem::workload_of(std::size_t index, std::vector<FleetDevice>& devices) const {
  Workload workload = base_->workloads[index];
  const std::size_t operators = workload.operators.size();
  if (workload.reduction_s.empty()) {
    workload.reduction_s.assign(workload.kinds.size(), std::vector<double>(operators));
  }
  for (std::size_t g = 0; g < groups_->size(); ++g) {
    if ((*groups_)[g].size() == 1) continue;
    const GroupCosts& costs = *(*costs_)[index][g];
    const std::vector<std::size_t>& chosen = chosen_[index][g];
    std::vector<StageTime> times;
    std::vector<double> reductions;
    for (std::size_t op = 0; op < operators; ++op) {
      GroupOperatorCost cost = costs.cost(op, chosen[op]);
      if (op > 0) {
        const double change_s = costs.change_s(op, chosen[op - 1], chosen[op]);
        cost.time.forward_s += change_s / 2.0;
        cost.time.input_gradient_s += change_s / 2.0;
      }
      times.push_back(cost.time);
      reductions.push_back(cost.reduction_s);
    }
    devices[g].kind = fmt::format("group {}", g);
    double slowdown = 1.0;
    for (const std::size_t d : (*groups_)[g]) {
      const std::size_t kind = workload.kind_of(base_->fleet.devices[d].kind).value();
      slowdown = std::max(slowdown, base_->workloads[index].overlap_slowdown[kind]);
    }
    workload.kinds.push_back(devices[g].kind);
    workload.times.push_back(std::move(times));
    workload.reduction_s.push_back(std::move(reductions));
    workload.update_scale.push_back(0.0);  // it is in the reduction
    workload.overlap_slowdown.push_back(slowdown);
  }
  return workload;
}

StageNeed GroupedProblem::undivided(const PlacedPipeline& placed, std::size_t stage) const {
  PlacedPipeline alone = placed;
  for (PlacedStage& one : alone.stages) {
    one.device = representative(base_->fleet, (*groups_)[one.device]);
  }
  if (base_->stage_memory) return base_->stage_memory(*base_, alone, stage);
  return {.memory = summed(*base_, alone, stage),
          .capacity_bytes = base_->fleet.devices[alone.stages[stage].device].memory_bytes};
}

StageNeed GroupedProblem::need(const PlacedPipeline& placed, std::size_t stage,
                               const std::vector<std::size_t>& chosen) const {
  const std::vector<std::size_t>& group = (*groups_)[placed.stages[stage].device];
  const StageNeed whole = undivided(placed, stage);
  if (group.size() == 1) return whole;
  const GroupCosts& costs = *(*costs_)[placed.workload][placed.stages[stage].device];
  StageNeed worst;
  double fullest = -1.0;
  for (std::size_t i = 0; i < group.size(); ++i) {
    const StageNeed here{.memory = spread_memory(costs, chosen, placed.stages[stage].first,
                                                 placed.stages[stage].end, whole.memory, i),
                         .capacity_bytes = base_->fleet.devices[group[i]].memory_bytes};
    const double share = static_cast<double>(here.memory.total()) /
                         static_cast<double>(std::max<std::uint64_t>(1, here.capacity_bytes));
    if (share <= fullest) continue;
    fullest = share;
    worst = here;
  }
  return worst;
}

PlanningProblem GroupedProblem::hopeful() const {
  PlanningProblem problem = common();
  const auto self = std::make_shared<const GroupedProblem>(*this);
  problem.stage_memory = [self](const PlanningProblem&, const PlacedPipeline& placed,
                                std::size_t stage) {
    const std::size_t g = placed.stages[stage].device;
    const std::vector<std::size_t>& group = (*self->groups_)[g];
    const StageNeed whole = self->undivided(placed, stage);
    if (group.size() == 1) return whole;
    std::uint64_t capacity = 0;
    for (const std::size_t d : group) capacity += self->base_->fleet.devices[d].memory_bytes;
    return StageNeed{.memory = scaled(whole.memory, self->strictness_[g], kHopedActivations),
                     .capacity_bytes = capacity};
  };
  return problem;
}

PlanningProblem GroupedProblem::exact(const PlacedPipeline& placed_now) const {
  const auto self = std::make_shared<GroupedProblem>(*this);
  for (const PlacedStage& stage : placed_now.stages) {
    auto& chosen = self->chosen_[placed_now.workload][stage.device];
    // What a stage receives is dealt out as its first operator needs it.
    if (stage.first > 0 && !chosen.empty()) chosen[stage.first - 1] = chosen[stage.first];
  }
  PlanningProblem problem = self->common();
  problem.stage_memory = [self](const PlanningProblem&, const PlacedPipeline& placed,
                                std::size_t stage) {
    return self->need(placed, stage, self->chosen_[placed.workload][placed.stages[stage].device]);
  };
  return problem;
}

bool GroupedProblem::fit(const PlacedPipeline& placed, std::size_t stage) {
  const std::size_t g = placed.stages[stage].device;
  if ((*groups_)[g].size() == 1) return true;
  const GroupCosts& costs = *(*costs_)[placed.workload][g];
  const PlacedStage& here = placed.stages[stage];
  SpreadOptions options{.micro_batches = static_cast<double>(placed.micro_batches(*base_))};
  options.in_flight = summed(*base_, placed, stage).in_flight;
  double time_s = 0.0;
  double bytes = 1.0;
  const auto& kinds = costs.workload().times;
  for (std::size_t op = here.first; op < here.end; ++op) {
    time_s += kinds.front()[op].sum() * options.micro_batches;
    bytes += costs.workload().operators[op].state_bytes;
  }
  std::vector<std::size_t> found;
  const auto fits = [&](double price) {
    options.price_s_per_byte = price;
    std::vector<std::size_t> chosen = spread_operators(costs, options);
    const StageNeed needed = need(placed, stage, chosen);
    if (needed.memory.total() > needed.capacity_bytes) return false;
    found = std::move(chosen);
    return true;
  };
  if (!fits(0.0)) {
    double low = 1e-6 * std::max(time_s, 1e-12) / bytes;
    double high = low;
    int raises = 0;
    for (; raises < kRaises && !fits(high); ++raises) {
      low = high;
      high *= 2.0;
    }
    if (raises == kRaises) {
      strictness_[g] *= kStricter;
      return false;
    }
    for (int i = 0; i < kBisections && raises > 0; ++i) {
      const double middle = std::sqrt(low * high);
      (fits(middle) ? high : low) = middle;
    }
  }
  chosen_[placed.workload][g] = std::move(found);
  return true;
}

void GroupedProblem::set(std::size_t workload, std::size_t group, std::vector<std::size_t> chosen) {
  chosen_[workload][group] = std::move(chosen);
}

GroupedPlan GroupedProblem::plan(PlanningProblem problem, const PlacedPipeline& placed) const {
  GroupedPlan made{.problem = std::move(problem), .placed = placed, .stages = {}};
  for (const PlacedStage& stage : placed.stages) {
    StageGroup group{.devices = (*groups_)[stage.device], .runs = {}};
    std::vector<GroupStrategy> strategies(stage.end - stage.first);
    for (std::size_t op = stage.first; op < stage.end && !group.alone(); ++op) {
      const auto& costs = *(*costs_)[placed.workload][stage.device];
      strategies[op - stage.first] = costs.strategies()[chosen_[placed.workload][stage.device][op]];
    }
    group.runs = runs_of(strategies);
    made.stages.push_back(std::move(group));
  }
  return made;
}

}  // namespace longhaul::scheduler
