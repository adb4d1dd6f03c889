// One training step of a pipeline as work for resources: what the simulator runs.
#pragma once

#include "proto/pipeline_schedule.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace longhaul::scheduler {

inline constexpr double kUnlimited = std::numeric_limits<double>::infinity();

// What one micro-batch takes at a stage that has its processors to itself.
struct StageTime {
  double forward_s = 0.0;
  double input_gradient_s = 0.0;
  double weight_gradient_s = 0.0;

  [[nodiscard]] double sum() const { return forward_s + input_gradient_s + weight_gradient_s; }
};

// Bytes; see scheduler/memory_walk.hpp.
struct StageMemory {
  double resident = 0.0;         // parameters, gradients, optimizer, boundaries
  double saved = 0.0;            // of a micro-batch between its forward and its backward
  double forward_peak = 0.0;     // of a micro-batch during its forward
  double backward_peak = 0.0;    // of a micro-batch during its backward, what was saved included
  double held_for_weight = 0.0;  // of a micro-batch between its two halves of the backward
  double exchange = 0.0;         // at the end of the step, when no micro-batch is left
};

struct StageWork {
  std::vector<StageTime> times;  // of each micro-batch, or one of all alike
  double reduction_s = 0.0;      // of gradients between replicas, after the last weight gradient
  double update_s = 0.0;         // optimizer
  std::size_t host = 0;
  double threads = 1.0;           // processors of the host that its computation uses
  double overlap_slowdown = 1.0;  // factor on computation while the stage sends or receives
  StageMemory memory;

  [[nodiscard]] const StageTime& time(std::size_t micro_batch) const {
    return times.size() == 1 ? times.front() : times[micro_batch];
  }
};

// The tensors of one boundary in one direction: one message per micro-batch, in order. A stage has
// one encoder, which works beside its computation; who receives decodes before it computes.
struct TransferWork {
  std::size_t from = 0;  // stages
  std::size_t to = 0;
  bool backward = false;
  std::vector<double> bytes;  // of each micro-batch, or one of all alike
  double encode_s = 0.0;      // on one processor, per message
  double decode_s = 0.0;
  std::size_t path = 0;

  [[nodiscard]] double bytes_of(std::size_t micro_batch) const {
    return bytes.size() == 1 ? bytes.front() : bytes[micro_batch];
  }
};

// Gradients of a parameter that several stages hold: each sends its own to all others once they
// have all finished their micro-batches.
struct TiedWork {
  std::vector<std::size_t> stages;
  double bytes = 0.0;
};

struct RateChange {
  double at_s = 0.0;
  double factor = 1.0;  // on the rate from then on
};

// One direction between two places; messages under way at the same time share it evenly. A message
// of m bytes alone on it arrives delay_s + per_message_s + m / bytes_per_s after it was sent.
struct PathWork {
  double delay_s = 0.0;
  double bytes_per_s = kUnlimited;
  double per_message_s = 0.0;
  std::vector<RateChange> changes;  // ascending
};

struct HostWork {
  double processors = kUnlimited;       // that its stages and their codecs share
  std::vector<double> busy_speed = {};  // Host's
  // Of one processor, for each byte that a stage sends or receives: encryption, copies, the system.
  double carry_s_per_byte = 0.0;
};

struct PipelineWork {
  proto::ScheduleKind schedule{};
  std::uint32_t run_ahead = 0;
  std::uint32_t micro_batches = 1;
  std::vector<StageWork> stages;
  std::vector<TransferWork> transfers;
  std::vector<TiedWork> tied;
  std::vector<HostWork> hosts;
  std::vector<PathWork> paths;
  // The path from stage a to stage b at [a * stages + b], for what a step's end exchanges. Empty:
  // nothing waits for the agreement.
  std::vector<std::size_t> between;
};

// What is wrong with it, or empty: an index out of range, a number that is not finite or negative,
// times or bytes that are neither one nor one per micro-batch.
[[nodiscard]] std::string problem_of(const PipelineWork& work);

}  // namespace longhaul::scheduler
