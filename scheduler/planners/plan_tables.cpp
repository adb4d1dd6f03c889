// Prefix sums, readers, and a sparse table of the largest workspace.
#include "scheduler/planners/plan_tables.hpp"

#include <algorithm>
#include <bit>

namespace longhaul::scheduler {
namespace {

// Differences of sums may be less than nothing by a rounding.
double difference(double sum, double before) { return std::max(0.0, sum - before); }

}  // namespace

WorkloadTables::WorkloadTables(const Workload& workload, const Fleet& fleet)
    : workload_(&workload), cuts_(workload.cut_bytes()) {
  for (const FleetDevice& device : fleet.devices) {
    kinds_.push_back(workload.kind_of(device.kind).value_or(kNowhere));
    speeds_.push_back(device.speed);
  }
  for (const std::vector<StageTime>& times : workload.times) {
    std::vector<StageTime> sums(1);
    std::vector<double> totals(1);
    for (const StageTime& time : times) {
      const StageTime& before = sums.back();
      sums.push_back({.forward_s = before.forward_s + time.forward_s,
                      .input_gradient_s = before.input_gradient_s + time.input_gradient_s,
                      .weight_gradient_s = before.weight_gradient_s + time.weight_gradient_s});
      totals.push_back(sums.back().sum());
    }
    times_.push_back(std::move(sums));
    totals_.push_back(std::move(totals));
  }
  for (const std::vector<double>& reductions : workload.reduction_s) {
    std::vector<double>& sums = reductions_.emplace_back(1);
    for (const double reduction_s : reductions) sums.push_back(sums.back() + reduction_s);
  }
  sum_operators();
  list_readers();
}

void WorkloadTables::sum_operators() {
  state_ = saved_ = update_ = {0.0};
  data_ = {0};
  workspace_.emplace_back();
  for (const WorkloadOperator& op : workload_->operators) {
    state_.push_back(state_.back() + op.state_bytes);
    saved_.push_back(saved_.back() + op.saved_bytes);
    update_.push_back(update_.back() + op.update_s);
    data_.push_back(data_.back() + (op.needs_data ? 1 : 0));
    workspace_[0].push_back(op.workspace_bytes);
    flops_ += op.flops;
  }
  for (std::size_t width = 1; 2 * width <= operators(); width *= 2) {
    const std::vector<double>& half = workspace_.back();
    std::vector<double> whole(operators() - 2 * width + 1);
    for (std::size_t i = 0; i < whole.size(); ++i) whole[i] = std::max(half[i], half[i + width]);
    workspace_.push_back(std::move(whole));
  }
}

void WorkloadTables::list_readers() {
  std::vector<std::vector<std::uint32_t>> readers(operators());
  for (std::uint32_t i = 0; i < operators(); ++i) {
    for (const std::size_t input : workload_->operators[i].inputs) {
      if (readers[input].empty() || readers[input].back() != i) readers[input].push_back(i);
    }
  }
  reader_starts_ = {0};
  for (const auto& list : readers) {
    readers_.insert(readers_.end(), list.begin(), list.end());
    reader_starts_.push_back(readers_.size());
  }
}

StageTime WorkloadTables::time(std::size_t device, std::size_t first, std::size_t end) const {
  const std::vector<StageTime>& sums = times_[kinds_[device]];
  const StageTime& a = sums[first];
  const StageTime& b = sums[end];
  const double speed = speeds_[device];
  return {.forward_s = difference(b.forward_s, a.forward_s) / speed,
          .input_gradient_s = difference(b.input_gradient_s, a.input_gradient_s) / speed,
          .weight_gradient_s = difference(b.weight_gradient_s, a.weight_gradient_s) / speed};
}

double WorkloadTables::update_s(std::size_t device, std::size_t first, std::size_t end) const {
  return difference(update_[end], update_[first]) * workload_->update_scale[kinds_[device]] /
         speeds_[device];
}

double WorkloadTables::reduction_s(std::size_t device, std::size_t first, std::size_t end) const {
  if (reductions_.empty()) return 0.0;
  const std::vector<double>& sums = reductions_[kinds_[device]];
  return difference(sums[end], sums[first]);
}

std::span<const double> WorkloadTables::total_s(std::size_t device) const {
  return totals_[kinds_[device]];
}

double WorkloadTables::state_bytes(std::size_t first, std::size_t end) const {
  double bytes = difference(state_[end], state_[first]);
  for (const WorkloadTie& tie : workload_->ties) {
    const auto here = std::ranges::count_if(
        tie.operators, [&](std::size_t op) { return op >= first && op < end; });
    if (here > 1) bytes -= static_cast<double>(here - 1) * tie.shared_state_bytes;
  }
  return std::max(0.0, bytes);
}

double WorkloadTables::saved_bytes(std::size_t first, std::size_t end) const {
  return difference(saved_[end], saved_[first]);
}

double WorkloadTables::workspace_bytes(std::size_t first, std::size_t end) const {
  if (first >= end) return 0.0;
  const auto level = static_cast<std::size_t>(std::bit_width(end - first) - 1);
  return std::max(workspace_[level][first], workspace_[level][end - (std::size_t{1} << level)]);
}

PlanTables::PlanTables(const PlanningProblem& problem) : problem_(&problem) {
  for (const Workload& workload : problem.workloads) {
    workloads_.emplace_back(workload, problem.fleet);
  }
  for (std::size_t d = 0; d < problem.fleet.devices.size(); ++d) {
    if (!problem.constraints.excluded_nodes.contains(problem.fleet.devices[d].node)) {
      devices_.push_back(d);
    }
  }
  const std::vector<WorkloadOperator>& operators = problem.workloads.front().operators;
  for (std::size_t op = 0; op < operators.size() && !problem.constraints.pins.empty(); ++op) {
    const auto pin = problem.constraints.pins.find(operators[op].id);
    if (pin != problem.constraints.pins.end()) pins_.push_back({.op = op, .node = pin->second});
  }
}

bool PlanTables::pins_hold(std::size_t device, std::size_t first, std::size_t end) const {
  return std::ranges::all_of(pins_, [&](const Pin& pin) {
    return pin.op < first || pin.op >= end || pin.node == problem_->fleet.devices[device].node;
  });
}

ScheduleKey PlanTables::schedule_key(const PlacedPipeline& placed, std::size_t stages) const {
  return {.kind = placed.schedule,
          .stages = static_cast<std::uint32_t>(stages),
          .micro_batches = placed.micro_batches(*problem_),
          .run_ahead = placed.run_ahead};
}

}  // namespace longhaul::scheduler
