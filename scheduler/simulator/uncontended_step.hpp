// How long a step takes if nothing is shared: what the simulator finds, at a fraction of its time.
#pragma once

#include "scheduler/simulator/pipeline_work.hpp"
#include "scheduler/simulator/schedule_book.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace longhaul::scheduler {

struct UncontendedTime {
  double step_s = 0.0;
  // No host, path or transfer can get in another's way: step_s is the simulator's, but for
  // rounding. Else it is a lower bound of it.
  bool exact = false;
};

// Each action ends at the latest of what it waits for, plus what it takes: an evaluation in the
// order of the dependencies, without events. Every message has its path for itself, every stage and
// encoder its processors; what a shared path or host has to do in all is a second lower bound.
// O(actions + messages + stages^2). Keeps its buffers: one object per thread.
class UncontendedStep {
 public:
  explicit UncontendedStep(ScheduleBook& book) : book_(&book) {}

  // As simulate() of one step; changes of paths over time are not looked at.
  [[nodiscard]] UncontendedTime time(const PipelineWork& work);

 private:
  struct Progress {
    std::size_t next = 0;
    double free_s = 0.0;
    double encoder_free_s = 0.0;
    double decode_forward_s = 0.0;
    double decode_backward_s = 0.0;
    bool queued = false;
  };
  struct Wire {
    double wire_s = 0.0;  // one size for all messages; negative: look it up
    double free_s = 0.0;
    std::uint32_t arrived = 0;
  };

  void prepare(const PipelineWork& work);
  void advance(const PipelineWork& work, std::size_t stage,
               const std::vector<proto::Action>& actions);
  void send(const PipelineWork& work, std::size_t transfer, std::uint32_t micro_batch,
            double made_s);
  [[nodiscard]] double end_of_step(const PipelineWork& work) const;
  [[nodiscard]] double busiest_share_s(const PipelineWork& work, bool& exact);

  ScheduleBook* book_;
  // Of each stage its forward inputs, backward inputs, forward outputs and backward outputs: places
  // in transfer_list_, list_starts_[4 * stage + which] to the next.
  std::vector<std::size_t> list_starts_;
  std::vector<std::size_t> transfer_list_;
  std::vector<Progress> stages_;
  std::vector<Wire> wires_;
  std::vector<double> arrivals_;  // transfer * micro_batches + micro_batch
  std::vector<std::size_t> waiting_;
  std::vector<double> path_load_s_, host_load_s_, host_demand_;
  std::vector<std::uint32_t> path_users_;
};

}  // namespace longhaul::scheduler
