// Each stage works through its list; an action starts when the stage is free and its tensor there.
#include "tests/unit/proto/schedule_time.hpp"

#include "proto/assert.hpp"

#include <algorithm>
#include <optional>

namespace longhaul::tests {
namespace {

using proto::Action;
using proto::ActionKind;
// When the tensors of each micro-batch reach each stage: [stage][micro-batch].
using Arrivals = std::vector<std::vector<std::optional<std::int64_t>>>;

std::int64_t time_of(ActionKind kind, const ActionTimes& times) {
  switch (kind) {
    case ActionKind::kForward:
      return times.forward;
    case ActionKind::kBackwardInput:
      return times.backward_input;
    case ActionKind::kBackwardWeight:
      return times.backward_weight;
  }
  LONGHAUL_ASSERT(false);
}

class Run {
 public:
  Run(const Pipeline& pipeline, const ActionTimes& times)
      : times_(times),
        stages_(pipeline.stages),
        activations_(stages_, Arrivals::value_type(pipeline.micro_batches)),
        gradients_(activations_),
        done_(stages_),
        free_at_(stages_) {
    for (std::uint32_t s = 0; s < stages_; ++s) schedules_.push_back(schedule_of(pipeline, s));
    std::ranges::fill(activations_.front(), 0);
    std::ranges::fill(gradients_.back(), 0);
  }

  std::int64_t total() {
    for (bool moved = true; moved;) {
      moved = false;
      for (std::uint32_t s = 0; s < stages_; ++s) {
        while (done_[s] < schedules_[s].size() && execute(s, schedules_[s][done_[s]])) {
          ++done_[s];
          moved = true;
        }
      }
    }
    for (std::uint32_t s = 0; s < stages_; ++s) LONGHAUL_ASSERT(done_[s] == schedules_[s].size());
    return *std::ranges::max_element(free_at_);
  }

 private:
  // False: its tensor is still to be sent.
  bool execute(std::uint32_t s, const Action& action) {
    const std::uint32_t m = action.micro_batch.value;
    std::optional<std::int64_t> ready = 0;
    if (action.kind == ActionKind::kForward) ready = activations_[s][m];
    if (action.kind == ActionKind::kBackwardInput) ready = gradients_[s][m];
    if (!ready) return false;
    free_at_[s] = std::max(free_at_[s], *ready) + time_of(action.kind, times_);
    const std::int64_t arrival = free_at_[s] + times_.transfer;
    if (action.kind == ActionKind::kForward && s + 1 < stages_) activations_[s + 1][m] = arrival;
    if (action.kind == ActionKind::kBackwardInput && s > 0) gradients_[s - 1][m] = arrival;
    return true;
  }

  ActionTimes times_;
  std::uint32_t stages_;
  Arrivals activations_;
  Arrivals gradients_;
  std::vector<std::vector<Action>> schedules_;
  std::vector<std::size_t> done_;
  std::vector<std::int64_t> free_at_;
};

}  // namespace

std::vector<Action> schedule_of(const Pipeline& pipeline, std::uint32_t stage) {
  return proto::pipeline_schedule(pipeline.kind, {.stage = proto::StageIndex{stage},
                                                  .stages = pipeline.stages,
                                                  .micro_batches = pipeline.micro_batches,
                                                  .run_ahead = pipeline.run_ahead});
}

std::int64_t idle_time(const Pipeline& pipeline, const ActionTimes& times) {
  const std::int64_t work = times.forward + times.backward_input + times.backward_weight;
  return Run(pipeline, times).total() - pipeline.micro_batches * work;
}

}  // namespace longhaul::tests
