// Claims about schedules, for every pipeline of up to 6 stages and 12 micro-batches.
#include "proto/pipeline_schedule.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <set>
#include <string>
#include <tuple>

namespace longhaul::proto {
namespace {

constexpr std::array kKinds{ScheduleKind::kGpipe, ScheduleKind::kOneForwardOneBackward};

template <class Body>
void for_every_pipeline(Body body) {
  for (const ScheduleKind kind : kKinds) {
    for (std::uint32_t stages = 1; stages <= 6; ++stages) {
      for (std::uint32_t micro_batches = 1; micro_batches <= 12; ++micro_batches) {
        const std::string name(schedule_name(kind));
        CAPTURE(name);
        CAPTURE(stages);
        CAPTURE(micro_batches);
        body(kind, stages, micro_batches);
      }
    }
  }
}

std::vector<Action> schedule_of(ScheduleKind kind, std::uint32_t stage, std::uint32_t stages,
                                std::uint32_t micro_batches) {
  return pipeline_schedule(
      kind, {.stage = StageIndex{stage}, .stages = stages, .micro_batches = micro_batches});
}

TEST_CASE("schedule: every micro-batch once per action, each kind in ascending order") {
  for_every_pipeline([](ScheduleKind kind, std::uint32_t stages, std::uint32_t micro_batches) {
    for (std::uint32_t s = 0; s < stages; ++s) {
      const auto schedule = schedule_of(kind, s, stages, micro_batches);
      for (const ActionKind action :
           {ActionKind::kForward, ActionKind::kBackwardInput, ActionKind::kBackwardWeight}) {
        std::uint32_t next = 0;
        for (const Action& a : schedule) {
          if (a.kind == action) CHECK(a.micro_batch == MicroBatchIndex{next++});
        }
        CHECK(next == micro_batches);
      }
    }
  });
}

TEST_CASE("schedule: a weight gradient directly follows its input gradient") {
  for_every_pipeline([](ScheduleKind kind, std::uint32_t stages, std::uint32_t micro_batches) {
    const auto schedule = schedule_of(kind, stages / 2, stages, micro_batches);
    std::set<std::uint32_t> forwards;
    for (std::size_t i = 0; i < schedule.size(); ++i) {
      const std::uint32_t m = schedule[i].micro_batch.value;
      if (schedule[i].kind == ActionKind::kForward) forwards.insert(m);
      if (schedule[i].kind != ActionKind::kBackwardInput) continue;
      CHECK(forwards.contains(m));
      REQUIRE(i + 1 < schedule.size());
      CHECK(schedule[i + 1] == Action{ActionKind::kBackwardWeight, MicroBatchIndex{m}});
    }
  });
}

// Runs all stages with receives that block: whether everything gets done.
bool completes(ScheduleKind kind, std::uint32_t stages, std::uint32_t micro_batches) {
  std::vector<std::vector<Action>> schedules;
  for (std::uint32_t s = 0; s < stages; ++s) {
    schedules.push_back(schedule_of(kind, s, stages, micro_batches));
  }
  std::vector<std::size_t> done(stages);
  std::set<std::tuple<bool, std::uint32_t, std::uint32_t>> sent;  // backward, to stage, micro-batch
  for (bool moved = true; moved;) {
    moved = false;
    for (std::uint32_t s = 0; s < stages; ++s) {
      if (done[s] == schedules[s].size()) continue;
      const auto [action, m] = schedules[s][done[s]];
      if (action == ActionKind::kForward) {
        if (s > 0 && !sent.contains({false, s, m.value})) continue;
        sent.insert({false, s + 1, m.value});
      } else if (action == ActionKind::kBackwardInput) {
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
  for_every_pipeline([](ScheduleKind kind, std::uint32_t stages, std::uint32_t micro_batches) {
    CHECK(completes(kind, stages, micro_batches));
  });
}

TEST_CASE("schedule: 1f1b holds min(p - s, m) micro-batches, gpipe all") {
  for_every_pipeline([](ScheduleKind kind, std::uint32_t stages, std::uint32_t micro_batches) {
    for (std::uint32_t s = 0; s < stages; ++s) {
      CAPTURE(s);
      const std::uint32_t bound = kind == ScheduleKind::kGpipe
                                      ? micro_batches
                                      : std::min(stages - s, micro_batches);
      CHECK(peak_in_flight(schedule_of(kind, s, stages, micro_batches)) == bound);
    }
  });
}

TEST_CASE("schedule: 1f1b's first stage of two warms up with one forward") {
  using enum ActionKind;
  const auto at = [](ActionKind kind, std::uint32_t m) { return Action{kind, MicroBatchIndex{m}}; };
  const std::vector<Action> expected{at(kForward, 0),        at(kForward, 1),
                                     at(kBackwardInput, 0),  at(kBackwardWeight, 0),
                                     at(kForward, 2),        at(kBackwardInput, 1),
                                     at(kBackwardWeight, 1), at(kBackwardInput, 2),
                                     at(kBackwardWeight, 2)};
  CHECK(schedule_of(ScheduleKind::kOneForwardOneBackward, 0, 2, 3) == expected);
}

TEST_CASE("schedule: names read back") {
  for (const ScheduleKind kind : kKinds) CHECK(schedule_kind(schedule_name(kind)) == kind);
  CHECK_FALSE(schedule_kind("GPIPE").has_value());
}

}  // namespace
}  // namespace longhaul::proto
