// The simulator against closed forms and bounds.
#include "scheduler/simulator/simulation.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

using namespace longhaul;
using namespace longhaul::scheduler;

namespace {

constexpr StageTime kUnit{.forward_s = 1.0, .input_gradient_s = 1.0, .weight_gradient_s = 1.0};

PathWork path_of(double delay_s, double bytes_per_s = kUnlimited, double per_message_s = 0.0) {
  PathWork path;
  path.delay_s = delay_s;
  path.bytes_per_s = bytes_per_s;
  path.per_message_s = per_message_s;
  return path;
}

// Stages in a row on hosts of their own, one message of `bytes` each way between neighbours.
PipelineWork chain(std::size_t stages, std::uint32_t micro_batches, double bytes,
                   const PathWork& path = {}) {
  PipelineWork work;
  work.schedule = proto::ScheduleKind::kOneForwardOneBackward;
  work.micro_batches = micro_batches;
  work.stages.resize(stages);
  work.hosts.resize(stages);
  for (std::size_t s = 0; s < stages; ++s) {
    work.stages[s].times = {kUnit};
    work.stages[s].host = s;
  }
  for (std::size_t s = 0; s + 1 < stages; ++s) {
    for (const bool backward : {false, true}) {
      work.transfers.push_back({.from = backward ? s + 1 : s,
                                .to = backward ? s : s + 1,
                                .backward = backward,
                                .bytes = {bytes},
                                .path = work.paths.size()});
      work.paths.push_back(path);
    }
  }
  return work;
}

double step_of(const PipelineWork& work, std::uint32_t steps = 1) {
  REQUIRE(problem_of(work) == "");
  return simulate(work, {.steps = steps}).step_s;
}

}  // namespace

TEST_CASE("simulation: one stage takes the sum of its work") {
  PipelineWork work = chain(1, 5, 0.0);
  work.stages[0].update_s = 0.5;
  work.stages[0].reduction_s = 0.25;
  CHECK(step_of(work) == doctest::Approx(15.75));
  CHECK(step_of(work, 3) == doctest::Approx(15.75));
}

TEST_CASE("simulation: equal stages without a network take (micro-batches + stages - 1) times") {
  for (const auto kind :
       {proto::ScheduleKind::kGpipe, proto::ScheduleKind::kOneForwardOneBackward}) {
    for (const std::size_t stages : {2, 4, 7}) {
      PipelineWork work = chain(stages, 8, 0.0);
      work.schedule = kind;
      const double slots = 8.0 + static_cast<double>(stages) - 1.0;
      // Gradients leave before weights are done, so that emptying takes two thirds of a slot.
      const double saved = static_cast<double>(stages) - 1.0;
      CHECK(step_of(work) == doctest::Approx(3.0 * slots - saved));
    }
  }
}

TEST_CASE("simulation: a message takes delay, overhead and bytes over rate, both ways") {
  const PathWork path = path_of(0.2, 100.0, 0.05);
  // Forward, across, forward and backward there, across, backward.
  CHECK(step_of(chain(2, 1, 10.0, path)) == doctest::Approx(1 + 0.35 + 2 + 0.35 + 2));
}

TEST_CASE("simulation: a link slower than computation sets the pace") {
  const PathWork path = path_of(0.0, 1.0);
  PipelineWork work = chain(2, 100, 5.0, path);
  work.run_ahead = 8;
  CHECK(step_of(work) == doctest::Approx(500.0).epsilon(0.05));
  const Simulation outcome = simulate(work);
  CHECK(outcome.transfers[0].wire_s == doctest::Approx(500.0));
  CHECK(outcome.transfers[0].late_s > 100.0);
}

TEST_CASE("simulation: two links over one path share it") {
  PipelineWork work = chain(3, 1, 6.0, path_of(0.0, 2.0));
  // Both forwards go over one path, one after the other: no difference. With two micro-batches
  // under way at once they halve each other's rate.
  const double alone = step_of(work);
  work.transfers[2].path = work.transfers[0].path;
  CHECK(step_of(work) == doctest::Approx(alone));
  work = chain(3, 50, 6.0, path_of(0.0, 2.0));
  work.run_ahead = 20;
  const double apart = step_of(work);
  work.transfers[2].path = work.transfers[0].path;
  CHECK(step_of(work) > 1.6 * apart);
}

TEST_CASE("simulation: stages on one host share its processors") {
  PipelineWork work = chain(4, 16, 0.0);
  const double apart = step_of(work);
  work.hosts = {{.processors = 1.0, .busy_speed = {}}};
  for (StageWork& stage : work.stages) stage.host = 0;
  CHECK(step_of(work) == doctest::Approx(4 * 16 * 3.0));
  work.hosts = {{.processors = 4.0, .busy_speed = {}}};
  CHECK(step_of(work) == doctest::Approx(apart));
  // Two processors that do one and a half times the work of one.
  work.hosts = {{.processors = 2.0, .busy_speed = {1.0, 1.5}}};
  CHECK(step_of(work) > 4 * 16 * 3.0 / 1.5);
  CHECK(step_of(work) < 4 * 16 * 3.0);
}

TEST_CASE("simulation: encoding goes on beside computation, decoding before it") {
  PipelineWork work = chain(2, 40, 1.0);
  work.run_ahead = 8;
  const double plain = step_of(work);
  for (TransferWork& transfer : work.transfers) transfer.encode_s = 0.5;
  CHECK(step_of(work) == doctest::Approx(plain + 1.0).epsilon(0.02));
  for (TransferWork& transfer : work.transfers) transfer.encode_s = 0.0;
  for (TransferWork& transfer : work.transfers) transfer.decode_s = 0.5;
  CHECK(step_of(work) == doctest::Approx(plain + 0.5 * 41).epsilon(0.02));
  CHECK(simulate(work).stages[0].decode_s == doctest::Approx(20.0));
}

TEST_CASE("simulation: transfers slow the computation that they overlap") {
  PipelineWork work = chain(2, 40, 1.0, path_of(0.0, 1.0 / 3.0));
  work.run_ahead = 8;
  const double plain = step_of(work);
  for (StageWork& stage : work.stages) stage.overlap_slowdown = 1.25;
  CHECK(step_of(work) == doctest::Approx(1.25 * plain).epsilon(0.06));
}

TEST_CASE("simulation: running ahead hides a long round trip") {
  PipelineWork work = chain(2, 64, 1.0, path_of(10.0));
  const double waiting = step_of(work);
  work.run_ahead = 8;
  CHECK(step_of(work) < 0.5 * waiting);
  CHECK(simulate(work).stages[0].in_flight == 10);
}

TEST_CASE("simulation: a trace changes the rate when it says so") {
  PipelineWork work = chain(2, 1, 10.0, path_of(0.0, 10.0));
  const double before = step_of(work);
  work.paths[0].changes = {{.at_s = 1.5, .factor = 0.1}};
  // Half of the message goes at the full rate, half at a tenth.
  CHECK(step_of(work) == doctest::Approx(before + 4.5));
  CHECK(simulate(work, {.start_s = 1.0}).step_s == doctest::Approx(before + 9.0));
  work.paths[0].changes = {{.at_s = 1.5, .factor = 0.0}};
  CHECK(simulate(work).stuck);
  work.paths[0].changes.push_back({.at_s = 11.5, .factor = 1.0});
  CHECK(step_of(work) == doctest::Approx(before + 10.0));
}

TEST_CASE("simulation: tied gradients and the agreement cross at the step's end") {
  PipelineWork work = chain(2, 1, 0.0);
  const double plain = step_of(work);
  work.paths.push_back(path_of(0.25, 4.0));
  work.between.assign(4, work.paths.size() - 1);
  // Stage 0 ends last; stage 1 learns of it a delay later.
  CHECK(step_of(work) == doctest::Approx(plain + 0.25));
  work.tied = {{.stages = {0, 1}, .bytes = 4.0}};
  // Both directions share the one path here.
  CHECK(step_of(work) == doctest::Approx(plain + 2.0 + 0.25 + 0.25));
}

TEST_CASE("simulation: the next step begins where a stage is done") {
  PipelineWork work = chain(2, 4, 0.0);
  work.paths.push_back(path_of(5.0));
  work.between.assign(4, work.paths.size() - 1);
  // Stage 0 does not wait for its own word to reach stage 1.
  CHECK(step_of(work, 4) < step_of(work));
  CHECK(step_of(work, 4) == doctest::Approx(step_of(work, 5)));
}

TEST_CASE("simulation: memory follows the schedule") {
  PipelineWork work = chain(3, 8, 0.0);
  for (StageWork& stage : work.stages) {
    stage.memory = {.resident = 100.0,
                    .saved = 10.0,
                    .forward_peak = 12.0,
                    .backward_peak = 15.0,
                    .held_for_weight = 7.0,
                    .exchange = 0.0};
  }
  const Simulation outcome = simulate(work, {.timeline = true});
  for (std::size_t s = 0; s < 3; ++s) {
    CAPTURE(s);
    const double in_flight = 3.0 - static_cast<double>(s);
    CHECK(outcome.stages[s].in_flight == 3 - s);
    CHECK(outcome.stages[s].peak_bytes == doctest::Approx(100.0 + 10.0 * (in_flight - 1) + 15.0));
  }
  double last = 0.0;
  for (const MemoryPoint& point : outcome.memory) {
    if (point.stage == 0) last = point.bytes;
  }
  CHECK(last == doctest::Approx(100.0));
}

TEST_CASE("simulation: the timeline has every action and message once, in order") {
  const PipelineWork work = chain(3, 6, 1.0, path_of(0.1, 3.0));
  const Simulation outcome = simulate(work, {.steps = 2, .timeline = true});
  CHECK(outcome.actions.size() == 3 * 6 * 3);
  CHECK(outcome.messages.size() == 4 * 6);
  for (const ActionSpan& span : outcome.actions) CHECK(span.end_s >= span.start_s);
  for (const TransferSpan& span : outcome.messages) {
    CHECK(span.made_s <= span.start_s);
    CHECK(span.arrived_s >= span.start_s + 0.1);
  }
}

TEST_CASE("simulation: never faster than the busiest stage or path, and the same when run again") {
  for (std::uint32_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    std::uniform_real_distribution<double> uniform(0.1, 2.0);
    PipelineWork work = chain(2 + seed % 4, 1 + seed % 9, 0.0);
    work.run_ahead = seed % 3;
    if (seed % 2 == 0) work.schedule = proto::ScheduleKind::kGpipe;
    double least = 0.0;
    for (StageWork& stage : work.stages) {
      stage.times.clear();
      double sum = 0.0;
      for (std::uint32_t m = 0; m < work.micro_batches; ++m) {
        stage.times.push_back({uniform(random), uniform(random), uniform(random)});
        sum += stage.times.back().sum();
      }
      least = std::max(least, sum);
    }
    for (TransferWork& transfer : work.transfers) {
      transfer.bytes = {uniform(random)};
      work.paths[transfer.path].bytes_per_s = uniform(random);
      work.paths[transfer.path].delay_s = 0.1 * uniform(random);
      const double wire = transfer.bytes[0] / work.paths[transfer.path].bytes_per_s;
      least = std::max(least, wire * work.micro_batches);
    }
    const double step = step_of(work);
    CHECK(step >= least - 1e-9);
    CHECK(step_of(work) == step);
    double all = 0.0;
    for (const StageWork& stage : work.stages) {
      for (const StageTime& time : stage.times) all += time.sum();
    }
    for (const TransferWork& transfer : work.transfers) {
      const PathWork& path = work.paths[transfer.path];
      all += work.micro_batches * (path.delay_s + transfer.bytes[0] / path.bytes_per_s);
    }
    CHECK(step <= all + 1e-9);
  }
}

TEST_CASE("simulation: nonsense is told before it runs") {
  PipelineWork work = chain(2, 4, 1.0);
  work.paths[0].bytes_per_s = -1.0;
  CHECK(problem_of(work).find("path 0") != std::string::npos);
  work = chain(2, 4, 1.0);
  work.stages[1].times.resize(3);
  CHECK(problem_of(work).find("stage 1") != std::string::npos);
  work = chain(2, 4, 1.0);
  work.transfers[0].backward = true;
  CHECK(problem_of(work).find("the wrong way") != std::string::npos);
}
