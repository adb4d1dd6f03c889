// gpipe and 1f1b as lists of actions.
#include "proto/pipeline_schedule.hpp"

#include "proto/assert.hpp"

#include <algorithm>

namespace longhaul::proto {
namespace {

// Forwards that a stage does before it alternates.
std::uint32_t warm_up(ScheduleKind kind, ScheduleShape shape) {
  switch (kind) {
    case ScheduleKind::kGpipe:
      return shape.micro_batches;
    case ScheduleKind::kOneForwardOneBackward:
      return static_cast<std::uint32_t>(std::min<std::uint64_t>(
          (shape.stages - shape.stage.value - 1) * (std::uint64_t{1} + shape.run_ahead),
          shape.micro_batches));
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
  }
  LONGHAUL_ASSERT(false);
}

std::optional<ScheduleKind> schedule_kind(std::string_view name) {
  for (const ScheduleKind kind : {ScheduleKind::kGpipe, ScheduleKind::kOneForwardOneBackward}) {
    if (name == schedule_name(kind)) return kind;
  }
  return std::nullopt;
}

std::vector<Action> pipeline_schedule(ScheduleKind kind, ScheduleShape shape) {
  LONGHAUL_ASSERT(shape.stage.value < shape.stages);
  std::vector<Action> actions;
  actions.reserve(std::size_t{3} * shape.micro_batches);
  std::uint32_t forwards = 0;
  const auto forward = [&] {
    actions.push_back({ActionKind::kForward, MicroBatchIndex{forwards++}});
  };
  const std::uint32_t ahead = warm_up(kind, shape);
  while (forwards < ahead) forward();
  for (std::uint32_t m = 0; m < shape.micro_batches; ++m) {
    if (forwards < shape.micro_batches) forward();
    actions.push_back({ActionKind::kBackwardInput, MicroBatchIndex{m}});
    actions.push_back({ActionKind::kBackwardWeight, MicroBatchIndex{m}});
  }
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
