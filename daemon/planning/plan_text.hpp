// A plan's report, for people on a terminal and for programs.
#pragma once

#include "daemon/planning/plan_report.hpp"

#include <string>

namespace longhaul::daemon {

[[nodiscard]] std::string plan_text(const PlanReport& report);
// On one line: {model, planner, schedule, run_ahead, micro_batches, micro_batch_size, runs_today,
// step_s, tokens_per_s, mfu, cost_per_step, cost_per_token, bottleneck, stages, links, rivals,
// what_if}.
[[nodiscard]] std::string plan_json(const PlanReport& report);

}  // namespace longhaul::daemon
