// A plan as a page: the timeline of one step and each stage's memory, as a picture.
#pragma once

#include "daemon/planning/plan_report.hpp"

#include <string>

namespace longhaul::daemon {

// HTML with one SVG, nothing loaded from elsewhere: stages as rows, forward, input gradient, weight
// gradient and idle time; transfers in thin rows between stages; bars of memory by category.
[[nodiscard]] std::string plan_page(const PlanReport& report);

}  // namespace longhaul::daemon
