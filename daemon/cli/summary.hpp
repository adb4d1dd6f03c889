// What a run comes to: gathered from the job's events, written as one JSON object.
#pragma once

#include "proto/control.pb.h"
#include "proto/error.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace longhaul::daemon {

// Events that came already (a lower or equal index) are skipped.
class Summary {
 public:
  void on_event(const wire::JobEvent& event);

  // The job's state as last seen; plan, stages and failure are taken from it. `on_event` does this
  // for the states among the events.
  void on_status(const wire::JobStatus& status);

  // Keys: job, id, state, failure (or null), first_step, steps (committed in this run), losses (one
  // per step; null where not finite), eval_loss (the last, or null), eval_loss_dense (of the same
  // model with nothing compressed between stages; null with dense links), evaluations, tokens,
  // tokens_per_s, step_time_s {median, p95} (nearest rank; null without steps), step_times_s,
  // stages, links, bytes_sent, checkpoints, exported_to (or null). Pretty-printed, ends with a
  // newline.
  [[nodiscard]] std::string to_json() const;

  // Writes to_json() to the file, whole or not at all. kResource if that is impossible.
  [[nodiscard]] proto::Result<void> write(const std::filesystem::path& file) const;

 private:
  std::uint64_t next_index_ = 0;
  wire::JobStatus status_;
  std::vector<wire::StepReport> steps_;
  std::vector<wire::EvaluationReport> evaluations_;
  std::vector<wire::CheckpointReport> checkpoints_;
  std::string exported_to_;
};

}  // namespace longhaul::daemon
