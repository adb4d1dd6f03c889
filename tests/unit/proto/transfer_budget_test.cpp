// How long a transfer may take to be hidden.
#include "proto/transfer_budget.hpp"

#include <doctest/doctest.h>

namespace longhaul::proto {
namespace {

PipelinePace pace(ScheduleKind schedule, std::uint32_t micro_batches, std::uint32_t run_ahead) {
  return {.schedule = schedule,
          .stages = 4,
          .micro_batches = micro_batches,
          .run_ahead = run_ahead,
          .forward_s = 0.01,
          .backward_s = 0.02};
}

TEST_CASE("transfer_budget: without times or without a second stage there is none") {
  CHECK(transfer_budget_s({}, false, 0.0) == 0.0);
  auto one = pace(ScheduleKind::kGpipe, 8, 0);
  one.stages = 1;
  CHECK(transfer_budget_s(one, false, 0.0) == 0.0);
}

TEST_CASE("transfer_budget: many micro-batches leave the steady flow as the only bound") {
  const auto many = pace(ScheduleKind::kGpipe, 10'000, 0);
  CHECK(transfer_budget_s(many, false, 1.0) == doctest::Approx(0.009));
  CHECK(transfer_budget_s(many, true, 1.0) == doctest::Approx(0.018));
  const auto ahead = pace(ScheduleKind::kOneForwardOneBackward, 10'000, 10);
  CHECK(transfer_budget_s(ahead, false, 0.1) == doctest::Approx(0.027));
  CHECK(transfer_budget_s(ahead, true, 0.1) == doctest::Approx(0.027));
}

TEST_CASE("transfer_budget: few micro-batches have a fill that counts") {
  // 0.08 of (8 + 3) 30 ms, over six directions.
  const auto few = pace(ScheduleKind::kGpipe, 8, 0);
  CHECK(transfer_budget_s(few, true, 0.0) == doctest::Approx(0.08 * 11 * 0.03 / 6));
}

TEST_CASE("transfer_budget: 1f1b hides what running ahead leaves beside the round trip") {
  const auto two = pace(ScheduleKind::kOneForwardOneBackward, 10'000, 2);
  CHECK(transfer_budget_s(two, false, 0.02) == doctest::Approx(0.02));
  CHECK(transfer_budget_s(two, false, 0.2) == doctest::Approx(0.05 * 0.03));  // hides nothing
  const auto none = pace(ScheduleKind::kOneForwardOneBackward, 10'000, 0);
  CHECK(transfer_budget_s(none, false, 0.0) == doctest::Approx(0.05 * 0.03));
}

}  // namespace
}  // namespace longhaul::proto
