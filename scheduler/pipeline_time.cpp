// A topological order of all stages' actions, and the longest path along it.
#include "scheduler/pipeline_time.hpp"

#include "proto/assert.hpp"

#include <algorithm>

namespace longhaul::scheduler {
namespace {

using proto::Action;
using proto::ActionKind;

std::vector<std::vector<Action>> all_stages(proto::ScheduleKind kind, std::uint32_t stages,
                                            std::uint32_t micro_batches, std::uint32_t run_ahead) {
  std::vector<std::vector<Action>> schedules;
  for (std::uint32_t s = 0; s < stages; ++s) {
    schedules.push_back(proto::pipeline_schedule(kind, {.stage = proto::StageIndex{s},
                                                        .stages = stages,
                                                        .micro_batches = micro_batches,
                                                        .run_ahead = run_ahead}));
  }
  return schedules;
}

}  // namespace

PipelineClock::PipelineClock(proto::ScheduleKind kind, std::uint32_t stages,
                             std::uint32_t micro_batches, std::uint32_t run_ahead)
    : PipelineClock(all_stages(kind, stages, micro_batches, run_ahead)) {}

PipelineClock::PipelineClock(std::span<const std::vector<Action>> schedules)
    : stages_(static_cast<std::uint32_t>(schedules.size())) {
  LONGHAUL_ASSERT(!schedules.empty() && !schedules.front().empty());
  micro_batches_ = static_cast<std::uint32_t>(schedules.front().size() / 3);
  std::vector<char> forward_done(std::size_t{stages_} * micro_batches_);
  std::vector<char> gradient_done(std::size_t{stages_} * micro_batches_);
  std::vector<std::uint32_t> next(stages_);
  const auto at = [&](std::uint32_t stage, std::uint32_t place) {
    return std::size_t{stage} * micro_batches_ + place;
  };
  const auto may_start = [&](std::uint32_t s, const Action& action) {
    const std::uint32_t place = action.micro_batch.value;
    switch (action.kind) {
      case ActionKind::kForward:
        return s == 0 || forward_done[at(s - 1, place)] != 0;
      case ActionKind::kBackwardInput:
        return forward_done[at(s, place)] != 0 &&
               (s + 1 == stages_ || gradient_done[at(s + 1, place)] != 0);
      case ActionKind::kBackwardWeight:
        return gradient_done[at(s, place)] != 0;
    }
    LONGHAUL_ASSERT(false);
  };
  // A stage that gets ahead may free its neighbours: they go back on the list.
  std::vector<std::uint32_t> waiting(stages_);
  for (std::uint32_t s = 0; s < stages_; ++s) waiting[s] = stages_ - 1 - s;
  while (!waiting.empty()) {
    const std::uint32_t s = waiting.back();
    waiting.pop_back();
    LONGHAUL_ASSERT(schedules[s].size() == std::size_t{3} * micro_batches_);
    const std::uint32_t before = next[s];
    for (; next[s] < schedules[s].size() && may_start(s, schedules[s][next[s]]); ++next[s]) {
      const Action& action = schedules[s][next[s]];
      LONGHAUL_ASSERT(action.micro_batch.value < micro_batches_);
      events_.push_back({s, action.micro_batch.value, next[s], action.kind});
      if (action.kind == ActionKind::kForward) forward_done[at(s, action.micro_batch.value)] = 1;
      if (action.kind == ActionKind::kBackwardInput) {
        gradient_done[at(s, action.micro_batch.value)] = 1;
      }
    }
    if (next[s] == before) continue;
    if (s > 0) waiting.push_back(s - 1);
    if (s + 1 < stages_) waiting.push_back(s + 1);
  }
  LONGHAUL_ASSERT(events_.size() == std::size_t{3} * stages_ * micro_batches_);
}

void PipelineClock::check(const PipelineDurations& durations) const {
  const std::size_t cells = std::size_t{stages_} * micro_batches_;
  const std::size_t boundary_cells = cells - micro_batches_;
  const auto fits = [](std::size_t size, std::size_t wanted) {
    return size == 0 || size == wanted;
  };
  LONGHAUL_ASSERT(durations.forward_s.size() == cells);
  LONGHAUL_ASSERT(durations.input_gradient_s.size() == cells);
  LONGHAUL_ASSERT(fits(durations.weight_gradient_s.size(), cells));
  LONGHAUL_ASSERT(fits(durations.activation_transfer_s.size(), boundary_cells));
  LONGHAUL_ASSERT(fits(durations.gradient_transfer_s.size(), boundary_cells));
  LONGHAUL_ASSERT(fits(durations.order.size(), micro_batches_));
  for (const std::uint32_t micro_batch : durations.order) {
    LONGHAUL_ASSERT(micro_batch < micro_batches_);
  }
}

template <class OnStart>
double PipelineClock::walk(const PipelineDurations& durations, OnStart on_start) const {
  check(durations);
  const std::size_t width = micro_batches_;
  std::vector<double> free_s(stages_);                // when each stage has nothing to do
  std::vector<double> activation_s(stages_ * width);  // [s, place]: its forward may start
  std::vector<double> gradient_s(stages_ * width);    // [s, place]: its gradient has come
  const auto take = [](std::span<const double> table, std::size_t cell) {
    return table.empty() ? 0.0 : table[cell];
  };
  for (const Event& event : events_) {
    const std::size_t s = event.stage;
    const std::size_t slot = s * width + event.place;
    const std::size_t column = durations.order.empty() ? event.place : durations.order[event.place];
    const std::size_t cell = s * width + column;
    double start = free_s[s];
    double lasts = 0;
    switch (event.kind) {
      case ActionKind::kForward:
        start = std::max(start, activation_s[slot]);
        lasts = durations.forward_s[cell];
        if (s + 1 < stages_) {
          activation_s[slot + width] = start + lasts + take(durations.activation_transfer_s, cell);
        }
        break;
      case ActionKind::kBackwardInput:
        start = std::max(start, gradient_s[slot]);
        lasts = durations.input_gradient_s[cell];
        if (s > 0) {
          gradient_s[slot - width] =
              start + lasts + take(durations.gradient_transfer_s, cell - width);
        }
        break;
      case ActionKind::kBackwardWeight:
        lasts = take(durations.weight_gradient_s, cell);
        break;
    }
    free_s[s] = start + lasts;
    on_start(event, start, lasts);
  }
  return *std::max_element(free_s.begin(), free_s.end());
}

PipelineTime PipelineClock::time(const PipelineDurations& durations) const {
  PipelineTime result;
  result.busy_s.resize(stages_);
  result.start_s.resize(std::size_t{3} * stages_ * micro_batches_);
  result.total_s = walk(durations, [&](const Event& event, double start, double lasts) {
    result.busy_s[event.stage] += lasts;
    result.start_s[std::size_t{3} * event.stage * micro_batches_ + event.index] = start;
  });
  return result;
}

double PipelineClock::total_s(const PipelineDurations& durations) const {
  return walk(durations, [](const Event&, double, double) {});
}

}  // namespace longhaul::scheduler
