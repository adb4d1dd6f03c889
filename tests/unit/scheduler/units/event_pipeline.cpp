// Stages that work on their list, messages that arrive; the earliest event next.
#include "tests/unit/scheduler/units/event_pipeline.hpp"

#include <algorithm>
#include <map>
#include <queue>
#include <set>
#include <tuple>

namespace longhaul::scheduler {
namespace {

using proto::Action;
using proto::ActionKind;

struct Event {
  double at_s = 0;
  bool is_message = false;  // else a stage is done with its action
  std::uint32_t stage = 0;
  std::uint32_t place = 0;
  ActionKind kind{};

  bool operator>(const Event& other) const { return at_s > other.at_s; }
};

class Play {
 public:
  Play(std::uint32_t stages, std::uint32_t micro_batches, const PipelineDurations& durations,
       std::uint32_t run_ahead)
      : durations_(durations), micro_batches_(micro_batches), works_(stages), done_(stages) {
    for (std::uint32_t s = 0; s < stages; ++s) {
      lists_.push_back(
          proto::pipeline_schedule(proto::ScheduleKind::kOneForwardOneBackward,
                                   {proto::StageIndex{s}, stages, micro_batches, run_ahead}));
    }
    for (std::uint32_t m = 0; m < micro_batches; ++m) arrived_.insert({0, m, false});
  }

  double run() {
    for (std::uint32_t s = 0; s < lists_.size(); ++s) begin(s, 0.0);
    double now = 0;
    while (!events_.empty()) {
      const Event event = events_.top();
      events_.pop();
      now = event.at_s;
      if (event.is_message) {
        arrived_.insert({event.stage, event.place, event.kind != ActionKind::kForward});
      } else {
        works_[event.stage] = false;
        ++done_[event.stage];
        tell(event);
      }
      begin(event.stage, now);
    }
    for (std::size_t s = 0; s < lists_.size(); ++s) {
      if (done_[s] != lists_[s].size()) return -1.0;
    }
    return now;
  }

 private:
  [[nodiscard]] double seconds(std::span<const double> table, std::uint32_t stage,
                               std::uint32_t place) const {
    const std::uint32_t column = durations_.order.empty() ? place : durations_.order[place];
    return table.empty() ? 0.0 : table[std::size_t{stage} * micro_batches_ + column];
  }

  void begin(std::uint32_t stage, double now) {
    if (works_[stage] || done_[stage] == lists_[stage].size()) return;
    const Action action = lists_[stage][done_[stage]];
    const std::uint32_t place = action.micro_batch.value;
    double lasts = 0;
    switch (action.kind) {
      case ActionKind::kForward:
        if (!arrived_.contains({stage, place, false})) return;
        lasts = seconds(durations_.forward_s, stage, place);
        break;
      case ActionKind::kBackwardInput:
        if (!arrived_.contains({stage, place, true})) return;
        lasts = seconds(durations_.input_gradient_s, stage, place);
        break;
      case ActionKind::kBackwardWeight:
        lasts = seconds(durations_.weight_gradient_s, stage, place);
        break;
    }
    works_[stage] = true;
    events_.push({now + lasts, false, stage, place, action.kind});
  }

  void tell(const Event& done) {
    if (done.kind == ActionKind::kForward) {
      if (done.stage + 1 == lists_.size()) {
        arrived_.insert({done.stage, done.place, true});
        return;
      }
      const double wire = seconds(durations_.activation_transfer_s, done.stage, done.place);
      events_.push({done.at_s + wire, true, done.stage + 1, done.place, ActionKind::kForward});
    } else if (done.kind == ActionKind::kBackwardInput && done.stage > 0) {
      const double wire = seconds(durations_.gradient_transfer_s, done.stage - 1, done.place);
      events_.push(
          {done.at_s + wire, true, done.stage - 1, done.place, ActionKind::kBackwardInput});
    }
  }

  const PipelineDurations& durations_;
  std::uint32_t micro_batches_;
  std::vector<std::vector<Action>> lists_;
  std::vector<char> works_;
  std::vector<std::size_t> done_;
  std::set<std::tuple<std::uint32_t, std::uint32_t, bool>> arrived_;  // stage, place, is gradient
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events_;
};

}  // namespace

double play_pipeline(std::uint32_t stages, std::uint32_t micro_batches,
                     const PipelineDurations& durations, std::uint32_t run_ahead) {
  return Play(stages, micro_batches, durations, run_ahead).run();
}

}  // namespace longhaul::scheduler
