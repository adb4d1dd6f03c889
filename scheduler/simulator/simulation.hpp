// Discrete-event simulation of the schedule that will run.
#pragma once

#include "proto/pipeline_schedule.hpp"
#include "scheduler/simulator/pipeline_work.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace longhaul::scheduler {

struct SimulationOptions {
  // In a row; figures are of the last, which begins at a stage as soon as the one before it ended
  // there. With one step nothing overlaps its beginning.
  std::uint32_t steps = 1;
  double start_s = 0.0;   // on the clock of the paths' changes
  bool timeline = false;  // keep spans and memory points of the last step
};

struct ActionSpan {
  std::size_t stage = 0;
  proto::ActionKind kind{};
  std::uint32_t micro_batch = 0;
  double start_s = 0.0;  // since the start of the simulation, like all times below
  double end_s = 0.0;
};

struct TransferSpan {
  std::size_t transfer = 0;
  std::uint32_t micro_batch = 0;
  double made_s = 0.0;     // the tensor was computed
  double start_s = 0.0;    // it began to leave
  double arrived_s = 0.0;  // its last byte was there
};

struct MemoryPoint {
  std::size_t stage = 0;
  double at_s = 0.0;
  double bytes = 0.0;  // from then on
};

struct StageOutcome {
  double compute_s = 0.0;  // in the step, as long as it took
  double decode_s = 0.0;
  double wait_s = 0.0;   // for tensors
  double start_s = 0.0;  // of the step
  double end_s = 0.0;    // its parameters are updated
  double peak_bytes = 0.0;
  std::uint32_t in_flight = 0;  // at most
};

struct TransferOutcome {
  double wire_s = 0.0;   // sum over messages, from the first byte's leaving to the last's
  double queue_s = 0.0;  // sum of their waits before, encoding included
  double late_s = 0.0;   // that the receiver had nothing to do but wait for this
};

struct Simulation {
  // From the end of the step before it to its own, at the stage that ends last.
  double step_s = 0.0;
  std::vector<StageOutcome> stages;
  std::vector<TransferOutcome> transfers;
  // With `timeline`, each in the order of its start.
  std::vector<ActionSpan> actions;
  std::vector<TransferSpan> messages;
  std::vector<MemoryPoint> memory;

  // The step did not end: a path stopped for good.
  bool stuck = false;
};

// Requires problem_of(work).empty(). Computation, encoding and decoding share their host's
// processors; messages share their path; each stage does its actions in the order of
// proto::pipeline_schedule. A step ends with the exchange of tied gradients, the agreement of all
// stages, and the update. Deterministic. O((actions + messages) * (log + jobs at one resource)).
[[nodiscard]] Simulation simulate(const PipelineWork& work, const SimulationOptions& options = {});

}  // namespace longhaul::scheduler
