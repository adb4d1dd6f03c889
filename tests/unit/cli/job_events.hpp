// A small job and its events, as a coordinator reports them.
#pragma once

#include "proto/control.pb.h"

#include <cstdint>
#include <string>
#include <utility>

namespace longhaul::tests {

// Job "sotu" (id j1) of `steps` steps on two stages, at nodes "a" and "b".
inline wire::JobStatus job_status(wire::JobState state, std::uint64_t steps) {
  wire::JobStatus status;
  status.set_id("j1");
  status.set_name("sotu");
  status.set_state(state);
  status.set_steps(steps);
  status.mutable_plan()->set_schedule("1f1b");
  for (const char* node : {"a", "b"}) {
    wire::Stage& stage = *status.mutable_plan()->add_stages();
    stage.set_node(node);
    stage.set_device("cpu");
    stage.set_estimated_memory_bytes(60'000'000);
  }
  status.mutable_plan()->mutable_stages(0)->add_operators("wte");
  status.mutable_plan()->mutable_stages(0)->add_operators("h.0");
  status.mutable_plan()->mutable_stages(1)->add_operators("loss");
  return status;
}

// What a stage has done; it sent 1.5 MB to the other one.
inline wire::StageReport stage_report(std::uint32_t stage) {
  wire::StageReport report;
  report.set_stage(stage);
  report.set_parameters(1'000'000 + stage);
  report.set_peak_memory_bytes(64'000'000 + stage);
  report.set_compute_s_per_microbatch(0.125);
  wire::LinkReport& link = *report.add_links();
  link.set_from_stage(stage);
  link.set_to_stage(1 - stage);
  link.set_direction(stage == 0 ? "forward" : "backward");
  link.set_bytes_sent(1'500'000);
  link.set_dense_bytes(1'490'000);
  link.set_rung("int8/128");
  link.set_squared_error(2.0);
  link.set_squares(8.0);
  link.set_encode_s(0.5);
  link.set_decode_s(0.25);
  link.set_goodput(1e6);
  link.set_goodput_is_lower_bound(stage == 1);
  link.set_round_trip_s(0.125);
  link.set_jitter_s(0.0625);
  link.set_queueing_s(0.5);
  link.set_connections(2);
  link.set_connection_losses(1);
  link.set_rung_changes(3);
  link.set_last_change("forward fp32 -> int8/128: slow");
  link.set_last_change_step(40);
  link.set_encode_s_per_microbatch(0.03125);
  link.set_wire_s_per_microbatch(1.5);
  link.set_decode_s_per_microbatch(0.015625);
  link.set_budget_s(2.0);
  wire::StepTimes& times = *report.mutable_times();
  times.set_step_s(0.5);
  times.set_forward_s(0.125);
  times.set_backward_s(0.125);
  times.set_decode_s(0.0625);
  times.set_agreement_s(0.03125);
  times.set_update_s(0.03125);
  wire::StepTimes::Wait& wait = *times.add_waits();
  wait.set_from_stage(1 - stage);
  wait.set_direction(stage == 0 ? "backward" : "forward");
  wait.set_wait_s(0.125);
  return report;
}

// Makes events with ascending indices, 100 ms apart.
class Events {
 public:
  wire::JobEvent state(wire::JobStatus status) {
    wire::JobEvent event = next();
    *event.mutable_state() = std::move(status);
    return event;
  }

  // A step of 8192 tokens in half a second; its loss is 10 / step.
  wire::JobEvent step(std::uint64_t number) {
    wire::JobEvent event = next();
    wire::StepReport& step = *event.mutable_step();
    step.set_step(number);
    step.set_loss(10.0 / static_cast<double>(number));
    step.set_gradient_norm(0.5);
    step.set_learning_rate(6e-4);
    step.set_step_time_s(0.5);
    step.set_tokens(8192);
    for (const std::uint32_t stage : {0u, 1u}) *event.add_stages() = stage_report(stage);
    event.set_bytes_sent(3'000'000);
    return event;
  }

  wire::JobEvent evaluation(std::uint64_t step, double loss) {
    wire::JobEvent event = next();
    event.mutable_evaluation()->set_step(step);
    event.mutable_evaluation()->set_loss(loss);
    event.mutable_evaluation()->set_tokens(4096);
    return event;
  }

  wire::JobEvent checkpoint(std::uint64_t step, const std::string& path, const std::string& error) {
    wire::JobEvent event = next();
    event.mutable_checkpoint()->set_step(step);
    event.mutable_checkpoint()->set_path(path);
    event.mutable_checkpoint()->set_error(error);
    return event;
  }

  wire::JobEvent exported(const std::string& path, const std::string& error) {
    wire::JobEvent event = next();
    event.mutable_exported()->set_path(path);
    event.mutable_exported()->set_error(error);
    return event;
  }

 private:
  wire::JobEvent next() {
    wire::JobEvent event;
    event.set_index(index_);
    event.set_unix_ms(1'000'000 + 100 * index_);
    ++index_;
    return event;
  }

  std::uint64_t index_ = 0;
};

}  // namespace longhaul::tests
