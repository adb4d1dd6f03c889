// How long one step of a pipeline takes: the longest path through the actions of its schedule, with
// micro-batches of unequal cost.
#pragma once

#include "proto/pipeline_schedule.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace longhaul::scheduler {

// Seconds, finite and not negative. Tables are row-major: [stages, micro_batches], and
// [stages - 1, micro_batches] for boundaries, where row b lies between stages b and b + 1.
struct PipelineDurations {
  std::span<const double> forward_s;         // [stages, micro_batches]
  std::span<const double> input_gradient_s;  // [stages, micro_batches]; leaves when it is done
  std::span<const double> weight_gradient_s = {};      // [stages, micro_batches], or empty: no time
  std::span<const double> activation_transfer_s = {};  // [stages - 1, micro_batches], or empty
  std::span<const double> gradient_transfer_s = {};    // [stages - 1, micro_batches], or empty
  // The micro-batch of the tables that runs at each place of the schedule: a permutation, or empty
  // for the order in which they came.
  std::span<const std::uint32_t> order = {};
};

struct PipelineTime {
  double total_s = 0;          // until the last action of the last stage is done
  std::vector<double> busy_s;  // [stages]: sum of the stage's actions
  std::vector<double>
      start_s;  // [stages, 3 micro_batches]: when each action of the schedule starts
};

// Sorts the actions of all stages once, by what waits for what; then every evaluation is one pass.
//
// A stage does its actions in the schedule's order, one at a time. A forward waits for the forward
// of the stage before and its transfer, an input gradient for the input gradient of the stage after
// and its transfer. Transfers occupy neither stage and do not queue behind each other: exact where
// links have no contention, a lower bound elsewhere.
class PipelineClock {
 public:
  PipelineClock(proto::ScheduleKind kind, std::uint32_t stages, std::uint32_t micro_batches,
                std::uint32_t run_ahead = 0);
  // schedules[s]: what stage s does; each stage has the same micro-batches 0..m-1, each of them
  // once per kind of action. A schedule in which stages wait for each other in a circle is a bug of
  // the caller (assertion), as are durations of the wrong size.
  explicit PipelineClock(std::span<const std::vector<proto::Action>> schedules);

  [[nodiscard]] std::uint32_t stages() const { return stages_; }
  [[nodiscard]] std::uint32_t micro_batches() const { return micro_batches_; }

  [[nodiscard]] PipelineTime time(const PipelineDurations& durations) const;
  // PipelineTime::total_s alone. O(stages * micro_batches).
  [[nodiscard]] double total_s(const PipelineDurations& durations) const;

 private:
  struct Event {
    std::uint32_t stage = 0;
    std::uint32_t place = 0;  // the micro-batch's place in the schedule
    std::uint32_t index = 0;  // of the action in its stage's schedule
    proto::ActionKind kind{};
  };

  void check(const PipelineDurations& durations) const;
  template <class OnStart>
  double walk(const PipelineDurations& durations, OnStart on_start) const;

  std::uint32_t stages_ = 0;
  std::uint32_t micro_batches_ = 0;
  std::vector<Event> events_;  // of all stages: each after everything that it waits for
};

}  // namespace longhaul::scheduler
