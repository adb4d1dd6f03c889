// The order in which a stage works on micro-batches: one pure function, for the worker and for the
// simulator alike, so that what is predicted is what runs.
#pragma once

#include "proto/ids.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace longhaul::proto {

enum class ScheduleKind {
  kGpipe,                  // all forwards, then all backwards
  kOneForwardOneBackward,  // 1f1b: at most 1 + (stages - stage - 1) (1 + run_ahead) in flight
  // ZB-H1 (Qi et al., Zero Bubble Pipeline Parallelism, arXiv 2401.10241): forwards and input
  // gradients as in 1f1b, weight gradients stage (1 + run_ahead) micro-batches behind, so that
  // every stage has as many in flight as 1f1b's first. Early input gradients do not wait for weight
  // gradients, which fill the end of the step instead, where 1f1b waits for earlier stages.
  kZeroBubble,
};

inline constexpr std::array kScheduleKinds{
    ScheduleKind::kGpipe, ScheduleKind::kOneForwardOneBackward, ScheduleKind::kZeroBubble};

// "gpipe", "1f1b", "zero-bubble"
[[nodiscard]] std::string_view schedule_name(ScheduleKind kind);
[[nodiscard]] std::optional<ScheduleKind> schedule_kind(std::string_view name);

enum class ActionKind {
  kForward,
  kBackwardInput,   // gradients of the stage's inputs, which leave at once
  kBackwardWeight,  // gradients of its parameters, while the network works
};

struct Action {
  ActionKind kind{};
  MicroBatchIndex micro_batch;

  bool operator==(const Action&) const = default;
};

inline constexpr std::uint32_t kMaximumRunAhead = 1000;

struct ScheduleShape {
  StageIndex stage;
  std::uint32_t stages = 1;
  std::uint32_t micro_batches = 1;
  // 1f1b and zero-bubble: more micro-batches in flight for each later stage. A later stage's answer
  // to a micro-batch comes after one pass there and one round trip; with 0 every round trip is
  // waited for.
  std::uint32_t run_ahead = 0;
};

// Every micro-batch appears once per action kind, forward before input gradient before weight
// gradient; each kind runs in ascending order of micro-batch in every schedule and stage, so that
// gradients accumulate in one order whatever the plan.
[[nodiscard]] std::vector<Action> pipeline_schedule(ScheduleKind kind, ScheduleShape shape);

// The most micro-batches whose forward is done and whose weight gradient is not, at any moment.
// Under zero-bubble some of them only hold what their weight gradients need.
[[nodiscard]] std::uint32_t peak_in_flight(const std::vector<Action>& schedule);

}  // namespace longhaul::proto
