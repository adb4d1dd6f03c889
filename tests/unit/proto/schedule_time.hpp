// How long a pipeline of equal stages takes under a schedule: the longest path through its actions.
#pragma once

#include "proto/pipeline_schedule.hpp"

#include <cstdint>
#include <vector>

namespace longhaul::tests {

struct Pipeline {
  proto::ScheduleKind kind{};
  std::uint32_t stages = 1;
  std::uint32_t micro_batches = 1;
  std::uint32_t run_ahead = 0;
};

// In any unit. `transfer`: from one stage to its neighbour; transfers do not wait for one another.
struct ActionTimes {
  std::int64_t forward = 0;
  std::int64_t backward_input = 0;
  std::int64_t backward_weight = 0;
  std::int64_t transfer = 0;
};

[[nodiscard]] std::vector<proto::Action> schedule_of(const Pipeline& pipeline, std::uint32_t stage);

// From the first action's start to the last one's end, less what a stage computes.
[[nodiscard]] std::int64_t idle_time(const Pipeline& pipeline, const ActionTimes& times);

}  // namespace longhaul::tests
