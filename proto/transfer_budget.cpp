// The least of three bounds.
#include "proto/transfer_budget.hpp"

#include "proto/assert.hpp"

#include <algorithm>

namespace longhaul::proto {
namespace {

constexpr double kSteadyShare = 0.9;
constexpr double kFillShare = 0.08;
constexpr double kWaitShare = 0.05;

// Whether forwards and backwards take turns. Zero-bubble has forwards and input gradients in 1f1b's
// order; its late weight gradients change nothing between two tensors of one direction.
bool in_turns(proto::ScheduleKind schedule) {
  switch (schedule) {
    case proto::ScheduleKind::kGpipe:
      return true;
    case proto::ScheduleKind::kOneForwardOneBackward:
    case proto::ScheduleKind::kZeroBubble:
      return false;
  }
  LONGHAUL_ASSERT(false);
}

}  // namespace

double steady_budget_s(const PipelinePace& pace, bool backward) {
  const double own_s = backward ? pace.backward_s : pace.forward_s;
  return kSteadyShare * (in_turns(pace.schedule) ? own_s : pace.forward_s + pace.backward_s);
}

double transfer_budget_s(const PipelinePace& pace, bool backward, double round_trip_s) {
  const double compute_s = pace.forward_s + pace.backward_s;
  if (pace.stages < 2 || compute_s <= 0.0) return 0.0;
  const double step_s = (pace.micro_batches + pace.stages - 1) * compute_s;
  const double fill_s = kFillShare * step_s / (2.0 * (pace.stages - 1));
  double budget_s = std::min(steady_budget_s(pace, backward), fill_s);
  if (!in_turns(pace.schedule)) {
    const double hidden_s = (pace.run_ahead * compute_s - round_trip_s) / 2.0;
    budget_s = std::min(budget_s, std::max(hidden_s, kWaitShare * compute_s));
  }
  return budget_s;
}

}  // namespace longhaul::proto
