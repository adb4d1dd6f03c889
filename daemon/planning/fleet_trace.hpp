// A network's trace for the simulator: how the rates of a fleet's paths change during a step.
#pragma once

#include "daemon/planning/fleet_model.hpp"
#include "daemon/wan/trace.hpp"
#include "proto/error.hpp"

namespace longhaul::daemon {

// Changes of the paths between different sites, which begin with the step; those of a trace that
// repeats are played so often that kTraceSpanS are filled, or kTraceChanges reached. A path's rate
// becomes the most that it ever has. kConfiguration: a change of delay, jitter or loss, which the
// simulator does not know; a site that the fleet lacks; a rate in megabits for a path that has
// none.
inline constexpr double kTraceSpanS = 86'400.0;
inline constexpr std::size_t kTraceChanges = 20'000;
[[nodiscard]] proto::Result<void> play_trace(const Trace& trace, FleetModel& model);

}  // namespace longhaul::daemon
