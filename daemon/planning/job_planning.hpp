// From a job and a fleet to a problem for the planners, and to a plan with its report.
#pragma once

#include "daemon/planning/fleet_model.hpp"
#include "daemon/planning/plan_report.hpp"
#include "proto/control.pb.h"
#include "proto/error.hpp"
#include "proto/pipeline_schedule.hpp"
#include "scheduler/planners/planning_problem.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::daemon {

struct PlanningOptions {
  scheduler::PlannerKind planner = scheduler::PlannerKind::kAuto;
  scheduler::Objective objective = scheduler::Objective::kStepTime;
  double deadline_s = scheduler::kUnlimited;
  scheduler::PlanConstraints constraints;
  std::vector<std::uint32_t> micro_batches;  // sizes to choose among; empty: the job's
  bool any_schedule = false;                 // else the job's
  // auto may return what no worker executes yet: hybrid's or disaggregated's plan.
  bool any_parallelism = false;
  std::vector<double> micro_batch_costs;     // PlanningProblem's
  std::optional<proto::ScheduleKind> given;  // a plan's, instead of both
  std::uint32_t given_run_ahead = 0;
  scheduler::PlannerBudget budget;
  bool compare = false;  // with the other planners, and with what would help
};

// The planner with this name, as scheduler::planner_name has it.
[[nodiscard]] std::optional<scheduler::PlannerKind> planner_named(std::string_view name);

// A job, ready to be planned.
struct PlanningCase {
  proto::Graph graph;
  scheduler::PlanningProblem problem;
  scheduler::MemoryOptions memory;
  std::int64_t sequence = 0;
};

// The submission has passed validate_job. kConfiguration: a graph, a shape or a micro-batch size
// that does not fit, a profile that lacks an operator.
[[nodiscard]] proto::Result<PlanningCase> planning_case(const wire::SubmitJob& submission,
                                                        const FleetModel& fleet,
                                                        const PlanningOptions& options);

struct PlannedJob {
  wire::Plan plan;  // epoch 0
  PlanReport report;
};

[[nodiscard]] proto::Result<PlannedJob> plan_with(const PlanningCase& planning,
                                                  const PlanningOptions& options);
// The report of a plan that is given, with stages of one device or of several. kConfiguration where
// it names nodes or devices that the fleet lacks, strategies that do not fit their devices, or is
// no row of contiguous operators; kResource where it violates a constraint.
[[nodiscard]] proto::Result<PlannedJob> simulate_plan(const PlanningCase& planning,
                                                      const wire::Plan& plan);

}  // namespace longhaul::daemon
