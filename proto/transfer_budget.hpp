// How long a tensor may take across a link without making the step longer.
#pragma once

#include "proto/pipeline_schedule.hpp"

#include <cstdint>

namespace longhaul::proto {

// A pipeline as it runs.
struct PipelinePace {
  proto::ScheduleKind schedule{};
  std::uint32_t stages = 1;
  std::uint32_t micro_batches = 1;
  std::uint32_t run_ahead = 0;
  double forward_s = 0.0;   // per micro-batch, of the slowest stage
  double backward_s = 0.0;  // likewise
};

// Seconds in which encoding, wire and decoding of one micro-batch's tensor (one direction of one
// link) are hidden behind computation, but for a few percent of the step. With T the slowest
// stage's time per micro-batch, M micro-batches and S stages, the least of
// - nine tenths of what computation takes between two tensors of this direction: T, or with gpipe,
//   whose forwards and backwards take turns, the forward's or the backward's part of it;
// - what filling and emptying the pipeline may cost: each of the 2 (S - 1) directions is crossed
//   once before and after the steady flow, together at most kFillShare of the step, (M + S - 1) T;
// - with 1f1b and zero-bubble, what running ahead hides: a later stage's answer comes one round
//   trip and two transfers later than without a network, in which run_ahead more micro-batches are
//   computed, so (run_ahead T - round trip) / 2. Where that is next to nothing every transfer is
//   waited for, and kWaitShare of T is what it may take.
// `round_trip_s`: of the link, without queues; 0: not known. 0 where no time is known.
[[nodiscard]] double transfer_budget_s(const PipelinePace& pace, bool backward,
                                       double round_trip_s);
// The first of these bounds alone: up to it a transfer does not hold up the steady flow, and costs
// only what filling and emptying cost more.
[[nodiscard]] double steady_budget_s(const PipelinePace& pace, bool backward);

}  // namespace longhaul::proto
