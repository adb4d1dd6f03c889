// Claims about the longest path: known pipelines by hand, random ones against events.
#include "scheduler/pipeline_time.hpp"

#include "tests/unit/scheduler/units/event_pipeline.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <random>

namespace longhaul::scheduler {
namespace {

using proto::ScheduleKind;

std::vector<double> random_table(std::mt19937_64& random, std::size_t cells) {
  std::vector<double> table(cells);
  for (double& cell : table) cell = static_cast<double>(random() % 1000) / 64.0;  // exact sums
  return table;
}

TEST_CASE("pipeline time: equal stages and micro-batches take (m + p - 1) passes, both schedules") {
  for (const ScheduleKind kind : {ScheduleKind::kGpipe, ScheduleKind::kOneForwardOneBackward}) {
    for (std::uint32_t stages = 1; stages <= 5; ++stages) {
      for (std::uint32_t m = stages; m <= 9; ++m) {
        const std::vector<double> forward(std::size_t{stages} * m, 1.0);
        const std::vector<double> backward(std::size_t{stages} * m, 2.0);
        const PipelineClock clock(kind, stages, m);
        const PipelineTime time = clock.time({.forward_s = forward, .input_gradient_s = backward});
        CHECK(time.total_s == 3.0 * (m + stages - 1));
        for (const double busy : time.busy_s) CHECK(busy == 3.0 * m);
      }
    }
  }
}

TEST_CASE("pipeline time: two stages by hand, with weights' gradients and transfers") {
  // Stage 0: F0 0-1, F1 1-2; stage 1 gets F0 at 1.5, F 1.5-3.5, gradient 3.5-4.5, weights 4.5-5,
  // F1 5-7, gradient 7-8, weights 8-8.5. Gradients come back at 4.75 and 8.25.
  const PipelineClock clock(ScheduleKind::kOneForwardOneBackward, 2, 2);
  const PipelineTime time = clock.time({.forward_s = std::vector{1., 1., 2., 2.},
                                        .input_gradient_s = std::vector{1., 1., 1., 1.},
                                        .weight_gradient_s = std::vector{3., 3., .5, .5},
                                        .activation_transfer_s = std::vector{.5, .5},
                                        .gradient_transfer_s = std::vector{.25, .25}});
  CHECK(time.start_s == std::vector{0., 1., 4.75, 5.75, 8.75, 9.75, 1.5, 3.5, 4.5, 5., 7., 8.});
  CHECK(time.total_s == 12.75);
  CHECK(time.busy_s == std::vector{10., 7.});
}

TEST_CASE("pipeline time: agrees with events on random pipelines, orders and transfers") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    const auto stages = static_cast<std::uint32_t>(1 + random() % 6);
    const auto m = static_cast<std::uint32_t>(1 + random() % 12);
    const auto run_ahead = static_cast<std::uint32_t>(random() % 3);
    const std::vector<double> forward = random_table(random, std::size_t{stages} * m);
    const std::vector<double> input = random_table(random, std::size_t{stages} * m);
    const std::vector<double> weight = random_table(random, std::size_t{stages} * m);
    const std::vector<double> activation = random_table(random, std::size_t{stages - 1} * m);
    const std::vector<double> gradient = random_table(random, std::size_t{stages - 1} * m);
    std::vector<std::uint32_t> order(m);
    std::iota(order.begin(), order.end(), 0U);
    std::shuffle(order.begin(), order.end(), random);
    const PipelineDurations durations{.forward_s = forward,
                                      .input_gradient_s = input,
                                      .weight_gradient_s = weight,
                                      .activation_transfer_s = activation,
                                      .gradient_transfer_s = gradient,
                                      .order = order};
    const PipelineClock clock(ScheduleKind::kOneForwardOneBackward, stages, m, run_ahead);
    const double seconds = clock.total_s(durations);
    CHECK(seconds == play_pipeline(stages, m, durations, run_ahead));
    CHECK(seconds == clock.time(durations).total_s);
  }
}

TEST_CASE("pipeline time: a schedule of one's own, and its order is kept") {
  using proto::Action;
  using proto::ActionKind;
  using proto::MicroBatchIndex;
  // One stage that takes the second micro-batch first.
  const std::vector<std::vector<Action>> schedules{
      {{ActionKind::kForward, MicroBatchIndex{1}},
       {ActionKind::kBackwardInput, MicroBatchIndex{1}},
       {ActionKind::kForward, MicroBatchIndex{0}},
       {ActionKind::kBackwardWeight, MicroBatchIndex{1}},
       {ActionKind::kBackwardInput, MicroBatchIndex{0}},
       {ActionKind::kBackwardWeight, MicroBatchIndex{0}}}};
  const PipelineTime time = PipelineClock(schedules).time(
      {.forward_s = std::vector{1., 10.}, .input_gradient_s = std::vector{2., 20.}});
  CHECK(time.start_s == std::vector{0., 10., 30., 31., 31., 33.});
  CHECK(time.total_s == 33.0);
}

}  // namespace
}  // namespace longhaul::scheduler
