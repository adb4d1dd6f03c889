// Enumerates everything, and simulates what a lower bound does not rule out.
#include "scheduler/planners/planners.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace longhaul::scheduler {
namespace {

constexpr double kRounding = 1.0 + 1e-9;

// Ordered subsets of devices times cuts times settings.
double number_of_placements(const PlanTables& tables, std::size_t settings) {
  const PlanConstraints& constraints = tables.problem().constraints;
  const auto devices = static_cast<double>(tables.devices().size());
  const auto operators = static_cast<double>(tables.operators());
  double sum = 0.0;
  double orders = 1.0;
  double cuts = 1.0;
  for (double k = 1.0; k <= std::min(devices, operators); k += 1.0) {
    orders *= devices - k + 1.0;
    if (constraints.keep_order) orders /= k;
    if (k > 1.0) cuts *= (operators - k + 1.0) / (k - 1.0);
    const auto count = static_cast<double>(constraints.devices);
    if (count == 0.0 || k == count) sum += orders * cuts;
  }
  return sum * static_cast<double>(settings);
}

class Enumeration {
 public:
  explicit Enumeration(PlannerContext& context) : context_(context) {
    used_.resize(context.tables.problem().fleet.devices.size());
  }

  RankedPlan best(RankedPlan start) {
    best_ = std::move(start);
    for (const Settings& settings : context_.evaluator.settings()) {
      placed_ = {};
      placed_.workload = settings.workload;
      placed_.schedule = settings.schedule;
      placed_.run_ahead = settings.run_ahead;
      extend(0);
    }
    return std::move(best_);
  }

 private:
  // Adds every stage that may come next.
  void extend(std::size_t first) {
    const PlanConstraints& constraints = context_.tables.problem().constraints;
    const std::size_t operators = context_.tables.operators();
    const std::size_t count = placed_.stages.size() + 1;
    if (constraints.devices > 0 && count > constraints.devices) return;
    for (const std::size_t device : context_.tables.devices()) {
      if (used_[device]) continue;
      if (constraints.keep_order && !placed_.stages.empty() &&
          placed_.stages.back().device > device) {
        continue;
      }
      used_[device] = true;
      for (std::size_t end = first + 1; end <= operators; ++end) {
        if (!context_.tables.pins_hold(device, first, end)) break;
        if (slowest_alone_s(device, first, end) > allowed_s()) break;
        if (best_.standing.excess == 0.0 && least_bytes(first, end) > memory(device)) break;
        placed_.stages.push_back({.device = device, .first = first, .end = end});
        if (end == operators) {
          consider();
        } else {
          extend(end);
        }
        placed_.stages.pop_back();
      }
      used_[device] = false;
    }
  }

  // The step cannot end before a stage has done its own work.
  [[nodiscard]] double slowest_alone_s(std::size_t device, std::size_t first,
                                       std::size_t end) const {
    return context_.tables.workload(placed_.workload).time(device, first, end).sum() *
           placed_.micro_batches(context_.tables.problem());
  }
  // With one micro-batch in flight; where the sums are no bound, without any.
  [[nodiscard]] double least_bytes(std::size_t first, std::size_t end) const {
    const WorkloadTables& sums = context_.tables.workload(placed_.workload);
    const double state = sums.state_bytes(first, end);
    const bool summed = !context_.tables.problem().stage_memory;
    return summed ? state + sums.saved_bytes(first, end) : state;
  }
  [[nodiscard]] double memory(std::size_t device) const {
    return static_cast<double>(context_.tables.problem().fleet.devices[device].memory_bytes);
  }
  // A step that takes longer is worse than the best known; infinite where time is not all.
  [[nodiscard]] double allowed_s() const {
    const PlanningProblem& problem = context_.tables.problem();
    if (best_.standing.excess > 0.0) return std::numeric_limits<double>::infinity();
    switch (problem.objective) {
      case Objective::kStepTime:
        return best_.standing.score * kRounding;
      case Objective::kCostUnderDeadline:
        return problem.deadline_s * kRounding;
      case Objective::kCostPerToken:
        break;
    }
    return std::numeric_limits<double>::infinity();
  }

  void consider() {
    const PlanConstraints& constraints = context_.tables.problem().constraints;
    if (constraints.devices > 0 && placed_.stages.size() != constraints.devices) return;
    PlacedPipeline placed = placed_;
    const Standing estimated = context_.evaluator.estimate(placed);
    if (best_.standing.excess == 0.0 && !estimated.exact &&
        estimated.score > best_.standing.score * kRounding) {
      return;  // a lower bound; what it breaks now it may not break when it takes longer
    }
    const Standing standing = estimated.exact ? estimated : context_.evaluator.simulate(placed);
    if (standing.better_than(best_.standing)) {
      best_ = {.placed = std::move(placed), .standing = standing};
    }
  }

  PlannerContext& context_;
  PlacedPipeline placed_;
  std::vector<bool> used_;
  RankedPlan best_;
};

}  // namespace

proto::Result<RankedPlan> plan_exhaustive(PlannerContext& context) {
  const double count = number_of_placements(context.tables, context.evaluator.settings().size());
  if (count > kExhaustivePlacements) {
    return proto::configuration_error(fmt::format(
        "the exhaustive planner would look at {:.3g} placements and does at most {:.3g}; use auto",
        count, kExhaustivePlacements));
  }
  return Enumeration(context).best(plan_equal_compute(context));
}

}  // namespace longhaul::scheduler
