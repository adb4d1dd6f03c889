// What can be wrong with a planning problem before anything is planned.
#include "scheduler/planners/plan_tables.hpp"

#include "proto/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace longhaul::scheduler {
namespace {

using proto::configuration_error;
using proto::quoted;

bool usable(double number) { return std::isfinite(number) && number >= 0.0; }

proto::Result<void> check_workloads(const PlanningProblem& problem) {
  if (problem.workloads.empty()) return configuration_error("there is no workload to plan for");
  const Workload& first = problem.workloads.front();
  for (const Workload& workload : problem.workloads) {
    if (auto good = check_workload(workload); !good) return good;
    if (!std::ranges::equal(workload.operators, first.operators, {}, &WorkloadOperator::id,
                            &WorkloadOperator::id)) {
      return configuration_error("workloads of different models in one problem");
    }
    if (problem.batch == 0 || problem.batch % workload.micro_batch_size != 0) {
      return configuration_error(
          fmt::format("a batch of {} samples is no multiple of a "
                      "micro-batch of {}",
                      problem.batch, workload.micro_batch_size));
    }
  }
  return {};
}

proto::Result<void> check_choices(const PlanningProblem& problem) {
  if (problem.schedules.empty()) return configuration_error("no schedule may be chosen");
  if (problem.run_ahead.empty()) return configuration_error("no run_ahead may be chosen");
  for (const std::uint32_t run_ahead : problem.run_ahead) {
    if (run_ahead > proto::kMaximumRunAhead) {
      return configuration_error(
          fmt::format("run_ahead {}; at most {} is possible", run_ahead, proto::kMaximumRunAhead));
    }
  }
  const std::vector<double>& costs = problem.micro_batch_costs;
  if (!std::ranges::all_of(costs, usable)) {
    return configuration_error("a micro-batch's cost is negative or not finite");
  }
  for (const Workload& workload : problem.workloads) {
    const std::uint32_t count = problem.batch / workload.micro_batch_size;
    if (!costs.empty() && costs.size() != count) {
      return configuration_error(
          fmt::format("{} costs of micro-batches, and a step has {} micro-batches of {}",
                      costs.size(), count, workload.micro_batch_size));
    }
  }
  for (const CodecOption& codec : problem.codecs) {
    if (!(codec.ratio > 0.0) || codec.ratio > 1.0 || !usable(codec.encode_s_per_byte) ||
        !usable(codec.decode_s_per_byte)) {
      return configuration_error(
          fmt::format("codec {}: its ratio must be above 0 and at most 1, its times from 0",
                      quoted(codec.name)));
    }
  }
  if (std::isnan(problem.deadline_s) || problem.deadline_s <= 0.0) {
    return configuration_error("the deadline must be positive");
  }
  if (problem.objective == Objective::kCostUnderDeadline && !std::isfinite(problem.deadline_s)) {
    return configuration_error("the cheapest plan under a deadline needs a deadline");
  }
  return {};
}

proto::Result<void> check_pins(const PlanningProblem& problem) {
  const PlanConstraints& constraints = problem.constraints;
  const auto& operators = problem.workloads.front().operators;
  for (const auto& [op, node] : constraints.pins) {
    if (std::ranges::find(operators, op, &WorkloadOperator::id) == operators.end()) {
      return configuration_error(
          fmt::format("operator {} is pinned, and the model has none of that name", quoted(op)));
    }
    if (std::ranges::find(problem.fleet.devices, node, &FleetDevice::node) ==
        problem.fleet.devices.end()) {
      return configuration_error(
          fmt::format("operator {} is pinned to node {}, which is not "
                      "there",
                      quoted(op), quoted(node)));
    }
    if (constraints.excluded_nodes.contains(node)) {
      return configuration_error(fmt::format("operator {} is pinned to node {}, which is excluded",
                                             quoted(op), quoted(node)));
    }
  }
  return {};
}

}  // namespace

proto::Result<void> check_problem(const PlanningProblem& problem) {
  if (auto good = check_fleet(problem.fleet); !good) return good;
  if (auto good = check_workloads(problem); !good) return good;
  if (auto good = check_choices(problem); !good) return good;
  const PlanConstraints& constraints = problem.constraints;
  std::size_t usable_devices = 0;
  for (const FleetDevice& device : problem.fleet.devices) {
    if (constraints.excluded_nodes.contains(device.node)) continue;
    ++usable_devices;
    for (const Workload& workload : problem.workloads) {
      if (workload.kind_of(device.kind)) continue;
      return configuration_error(fmt::format(
          "device {} of node {} is a {}, for which the workload has no times; profile it or "
          "exclude the node",
          quoted(device.device), quoted(device.node), quoted(device.kind)));
    }
  }
  if (usable_devices == 0) return configuration_error("every node of the fleet is excluded");
  const std::size_t operators = problem.workloads.front().operators.size();
  if (constraints.devices > usable_devices) {
    return configuration_error(
        fmt::format("the plan is to use {} devices, and there are {} that are not excluded",
                    constraints.devices, usable_devices));
  }
  if (constraints.devices > operators) {
    return configuration_error(
        fmt::format("the plan is to use {} devices for {} operators; use "
                    "at most {}",
                    constraints.devices, operators, operators));
  }
  return check_pins(problem);
}

}  // namespace longhaul::scheduler
