// Claims about schedules, for every pipeline of up to 6 stages and 12 micro-batches.
#include "proto/pipeline_schedule.hpp"

#include "tests/unit/proto/schedule_time.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <random>
#include <set>
#include <string>
#include <tuple>

namespace longhaul::proto {
namespace {

using tests::Pipeline;
using tests::schedule_of;
using enum ScheduleKind;
using enum ActionKind;

constexpr Action at(ActionKind kind, std::uint32_t m) { return {kind, MicroBatchIndex{m}}; }

template <class Body>
void for_every_pipeline(Body body) {
  for (const ScheduleKind kind : kScheduleKinds) {
    for (std::uint32_t stages = 1; stages <= 6; ++stages) {
      for (std::uint32_t micro_batches = 1; micro_batches <= 12; ++micro_batches) {
        for (const std::uint32_t run_ahead : {0u, 1u, 3u, kMaximumRunAhead}) {
          const std::string name(schedule_name(kind));
          CAPTURE(name);
          CAPTURE(stages);
          CAPTURE(micro_batches);
          CAPTURE(run_ahead);
          body(Pipeline{kind, stages, micro_batches, run_ahead});
        }
      }
    }
  }
}

TEST_CASE("schedule: every micro-batch once per action, each kind in ascending order") {
  for_every_pipeline([](const Pipeline& pipeline) {
    for (std::uint32_t s = 0; s < pipeline.stages; ++s) {
      const auto schedule = schedule_of(pipeline, s);
      for (const ActionKind action : {kForward, kBackwardInput, kBackwardWeight}) {
        std::uint32_t next = 0;
        for (const Action& a : schedule) {
          if (a.kind == action) CHECK(a.micro_batch == MicroBatchIndex{next++});
        }
        CHECK(next == pipeline.micro_batches);
      }
    }
  });
}

TEST_CASE("schedule: forward, then input gradient, then weight gradient of a micro-batch") {
  for_every_pipeline([](const Pipeline& pipeline) {
    for (std::uint32_t s = 0; s < pipeline.stages; ++s) {
      const auto schedule = schedule_of(pipeline, s);
      const auto place = [&](ActionKind kind, std::uint32_t m) {
        return std::find(schedule.begin(), schedule.end(), at(kind, m));
      };
      for (std::uint32_t m = 0; m < pipeline.micro_batches; ++m) {
        CHECK(place(kForward, m) < place(kBackwardInput, m));
        CHECK(place(kBackwardInput, m) < place(kBackwardWeight, m));
      }
    }
  });
}

TEST_CASE("schedule: with gpipe and 1f1b a weight gradient directly follows its input gradient") {
  for_every_pipeline([](const Pipeline& pipeline) {
    if (pipeline.kind == kZeroBubble) return;
    const auto schedule = schedule_of(pipeline, pipeline.stages / 2);
    for (std::size_t i = 0; i < schedule.size(); ++i) {
      if (schedule[i].kind != kBackwardInput) continue;
      REQUIRE(i + 1 < schedule.size());
      CHECK(schedule[i + 1] == at(kBackwardWeight, schedule[i].micro_batch.value));
    }
  });
}

TEST_CASE("schedule: zero-bubble is 1f1b but for its weight gradients, which are later") {
  const auto others = [](const std::vector<Action>& schedule) {
    std::vector<Action> kept;
    std::copy_if(schedule.begin(), schedule.end(), std::back_inserter(kept),
                 [](const Action& action) { return action.kind != kBackwardWeight; });
    return kept;
  };
  for_every_pipeline([&](const Pipeline& pipeline) {
    if (pipeline.kind != kZeroBubble) return;
    Pipeline same = pipeline;
    same.kind = kOneForwardOneBackward;
    CHECK(schedule_of(pipeline, 0) == schedule_of(same, 0));
    for (std::uint32_t s = 0; s < pipeline.stages; ++s) {
      const auto schedule = schedule_of(pipeline, s);
      CHECK(others(schedule) == others(schedule_of(same, s)));
      const std::uint32_t delay = s * (1 + pipeline.run_ahead);
      for (std::size_t i = 0; i < schedule.size(); ++i) {
        const std::uint32_t m = schedule[i].micro_batch.value;
        if (schedule[i].kind != kBackwardInput || m < delay) continue;
        CHECK(schedule[i + 1] == at(kBackwardWeight, m - delay));
      }
    }
  });
}

// Runs all stages with receives that block: whether everything gets done.
bool completes(const Pipeline& pipeline) {
  const std::uint32_t stages = pipeline.stages;
  std::vector<std::vector<Action>> schedules;
  for (std::uint32_t s = 0; s < stages; ++s) schedules.push_back(schedule_of(pipeline, s));
  std::vector<std::size_t> done(stages);
  std::set<std::tuple<bool, std::uint32_t, std::uint32_t>> sent;  // backward, to stage, micro-batch
  for (bool moved = true; moved;) {
    moved = false;
    for (std::uint32_t s = 0; s < stages; ++s) {
      if (done[s] == schedules[s].size()) continue;
      const auto [action, m] = schedules[s][done[s]];
      if (action == kForward) {
        if (s > 0 && !sent.contains({false, s, m.value})) continue;
        sent.insert({false, s + 1, m.value});
      } else if (action == kBackwardInput) {
        if (s + 1 < stages && !sent.contains({true, s, m.value})) continue;
        if (s > 0) sent.insert({true, s - 1, m.value});
      }
      ++done[s];
      moved = true;
    }
  }
  for (std::uint32_t s = 0; s < stages; ++s) {
    if (done[s] != schedules[s].size()) return false;
  }
  return true;
}

TEST_CASE("schedule: no pipeline deadlocks when receives block") {
  for_every_pipeline([](const Pipeline& pipeline) { CHECK(completes(pipeline)); });
}

TEST_CASE("schedule: 1f1b holds what its stage needs, zero-bubble what the first does, gpipe all") {
  for_every_pipeline([](const Pipeline& pipeline) {
    const std::uint32_t later = 1 + pipeline.run_ahead;
    for (std::uint32_t s = 0; s < pipeline.stages; ++s) {
      CAPTURE(s);
      std::uint32_t bound = pipeline.micro_batches;
      if (pipeline.kind == kOneForwardOneBackward) {
        bound = std::min(bound, 1 + (pipeline.stages - s - 1) * later);
      } else if (pipeline.kind == kZeroBubble) {
        bound = std::min(bound, 1 + (pipeline.stages - 1) * later);
      }
      CHECK(peak_in_flight(schedule_of(pipeline, s)) == bound);
    }
  });
}

TEST_CASE("schedule: 1f1b's first stage of two warms up with one forward") {
  const std::vector<Action> expected{
      at(kForward, 0),        at(kForward, 1),       at(kBackwardInput, 0),
      at(kBackwardWeight, 0), at(kForward, 2),       at(kBackwardInput, 1),
      at(kBackwardWeight, 1), at(kBackwardInput, 2), at(kBackwardWeight, 2)};
  CHECK(schedule_of({kOneForwardOneBackward, 2, 3}, 0) == expected);
}

TEST_CASE(
    "schedule: zero-bubble's second stage of two ends with the weight gradient it held back") {
  const std::vector<Action> expected{
      at(kForward, 0),       at(kBackwardInput, 0),  at(kForward, 1),
      at(kBackwardInput, 1), at(kBackwardWeight, 0), at(kForward, 2),
      at(kBackwardInput, 2), at(kBackwardWeight, 1), at(kBackwardWeight, 2)};
  CHECK(schedule_of({kZeroBubble, 2, 3}, 1) == expected);
  // With fewer micro-batches than it may hold back, all come at the end.
  const std::vector<Action> few{at(kForward, 0),        at(kBackwardInput, 0),
                                at(kForward, 1),        at(kBackwardInput, 1),
                                at(kBackwardWeight, 0), at(kBackwardWeight, 1)};
  CHECK(schedule_of({kZeroBubble, 3, 2}, 2) == few);
}

TEST_CASE("schedule: with equal times zero-bubble idles (p - 1)(F + B - W)") {
  for (std::uint32_t p = 1; p <= 8; ++p) {
    for (std::uint32_t m = p; m <= 24; ++m) {
      CAPTURE(p);
      CAPTURE(m);
      const auto idle = [&](ScheduleKind kind, tests::ActionTimes times) {
        return tests::idle_time({kind, p, m}, times);
      };
      const std::int64_t others = p - 1;
      const tests::ActionTimes unit{.forward = 1, .backward_input = 1, .backward_weight = 1};
      CHECK(idle(kZeroBubble, unit) == others);
      // Here gradients leave before weight gradients are computed in every schedule, and so 1f1b
      // idles (p - 1)(F + B); with gradients that leave after that it is (p - 1)(F + B + W).
      CHECK(idle(kOneForwardOneBackward, unit) == 2 * others);
      CHECK(idle(kGpipe, unit) == 2 * others);
      const tests::ActionTimes together{.forward = 1, .backward_input = 2, .backward_weight = 0};
      CHECK(idle(kOneForwardOneBackward, together) == 3 * others);
    }
  }
}

TEST_CASE("schedule: zero-bubble's idle time for any equal stages") {
  std::mt19937_64 random(1);
  const auto up_to = [&](std::uint32_t most) {
    return 1 + static_cast<std::uint32_t>(random() % most);
  };
  for (int i = 0; i < 1000; ++i) {
    const std::uint32_t p = up_to(8);
    const std::uint32_t m = p + up_to(24);
    const tests::ActionTimes times{
        .forward = up_to(9), .backward_input = up_to(9), .backward_weight = up_to(9)};
    CAPTURE(p);
    CAPTURE(m);
    CAPTURE(times.forward);
    CAPTURE(times.backward_input);
    CAPTURE(times.backward_weight);
    // The pipeline fills with forwards, and empties with input gradients, whatever is delayed.
    const std::int64_t per_stage =
        std::max({times.forward, times.backward_input,
                  times.forward + times.backward_input - times.backward_weight});
    CHECK(tests::idle_time({kZeroBubble, p, m}, times) == (p - 1) * per_stage);
    CHECK(tests::idle_time({kOneForwardOneBackward, p, m}, times) ==
          (p - 1) * (times.forward + times.backward_input));
  }
}

TEST_CASE("schedule: zero-bubble is never slower than 1f1b where W is at most B") {
  std::mt19937_64 random(2);
  const auto below = [&](std::uint32_t bound) {
    return static_cast<std::uint32_t>(random() % bound);
  };
  for (int i = 0; i < 2000; ++i) {
    const std::uint32_t run_ahead = std::array{0u, 0u, 1u, 2u, 5u, kMaximumRunAhead}[below(6)];
    Pipeline pipeline{kZeroBubble, 1 + below(7), 1 + below(30), run_ahead};
    tests::ActionTimes times{.forward = 1 + below(9), .backward_input = 1 + below(9)};
    times.backward_weight = below(static_cast<std::uint32_t>(times.backward_input) + 1);
    times.transfer = std::array{0, 0, 1, 3, 10, 50}[below(6)];
    CAPTURE(pipeline.stages);
    CAPTURE(pipeline.micro_batches);
    CAPTURE(pipeline.run_ahead);
    CAPTURE(times.forward);
    CAPTURE(times.backward_input);
    CAPTURE(times.backward_weight);
    CAPTURE(times.transfer);
    const std::int64_t late = tests::idle_time(pipeline, times);
    pipeline.kind = kOneForwardOneBackward;
    CHECK(late <= tests::idle_time(pipeline, times));
  }
}

TEST_CASE("schedule: names read back") {
  for (const ScheduleKind kind : kScheduleKinds) CHECK(schedule_kind(schedule_name(kind)) == kind);
  CHECK(schedule_kind("zero-bubble") == kZeroBubble);
  CHECK_FALSE(schedule_kind("GPIPE").has_value());
}

}  // namespace
}  // namespace longhaul::proto
