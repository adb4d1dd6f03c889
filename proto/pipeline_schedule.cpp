// gpipe, 1f1b and zero-bubble as lists of actions.
#include "proto/pipeline_schedule.hpp"

#include "proto/assert.hpp"

#include <algorithm>

namespace longhaul::proto {
namespace {

// One micro-batch and run_ahead more for each of so many stages, at most all there are.
std::uint32_t micro_batches_for(std::uint32_t stages, ScheduleShape shape) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(stages * (std::uint64_t{1} + shape.run_ahead), shape.micro_batches));
}

// Forwards that a stage does before it alternates.
std::uint32_t warm_up(ScheduleKind kind, ScheduleShape shape) {
  switch (kind) {
    case ScheduleKind::kGpipe:
      return shape.micro_batches;
    case ScheduleKind::kOneForwardOneBackward:
    case ScheduleKind::kZeroBubble:
      return micro_batches_for(shape.stages - shape.stage.value - 1, shape);
  }
  LONGHAUL_ASSERT(false);
}

// How many micro-batches weight gradients are behind input gradients: what 1f1b's first stage has
// in flight beyond what this one has.
std::uint32_t weight_delay(ScheduleKind kind, ScheduleShape shape) {
  switch (kind) {
    case ScheduleKind::kGpipe:
    case ScheduleKind::kOneForwardOneBackward:
      return 0;
    case ScheduleKind::kZeroBubble:
      return micro_batches_for(shape.stage.value, shape);
  }
  LONGHAUL_ASSERT(false);
}

}  // namespace

std::string_view schedule_name(ScheduleKind kind) {
  switch (kind) {
    case ScheduleKind::kGpipe:
      return "gpipe";
    case ScheduleKind::kOneForwardOneBackward:
      return "1f1b";
    case ScheduleKind::kZeroBubble:
      return "zero-bubble";
  }
  LONGHAUL_ASSERT(false);
}

std::optional<ScheduleKind> schedule_kind(std::string_view name) {
  for (const ScheduleKind kind : kScheduleKinds) {
    if (name == schedule_name(kind)) return kind;
  }
  return std::nullopt;
}

std::vector<Action> pipeline_schedule(ScheduleKind kind, ScheduleShape shape) {
  LONGHAUL_ASSERT(shape.stage.value < shape.stages);
  std::vector<Action> actions;
  actions.reserve(std::size_t{3} * shape.micro_batches);
  std::uint32_t forwards = 0;
  std::uint32_t weights = 0;
  const auto forward = [&] {
    actions.push_back({ActionKind::kForward, MicroBatchIndex{forwards++}});
  };
  const auto backward_weight = [&] {
    actions.push_back({ActionKind::kBackwardWeight, MicroBatchIndex{weights++}});
  };
  const std::uint32_t ahead = warm_up(kind, shape);
  const std::uint32_t delay = weight_delay(kind, shape);
  while (forwards < ahead) forward();
  for (std::uint32_t m = 0; m < shape.micro_batches; ++m) {
    if (forwards < shape.micro_batches) forward();
    actions.push_back({ActionKind::kBackwardInput, MicroBatchIndex{m}});
    if (m >= delay) backward_weight();
  }
  while (weights < shape.micro_batches) backward_weight();
  return actions;
}

std::uint32_t peak_in_flight(const std::vector<Action>& schedule) {
  std::uint32_t in_flight = 0;
  std::uint32_t peak = 0;
  for (const Action& action : schedule) {
    if (action.kind == ActionKind::kForward) peak = std::max(peak, ++in_flight);
    if (action.kind == ActionKind::kBackwardWeight) --in_flight;
  }
  return peak;
}

}  // namespace longhaul::proto
