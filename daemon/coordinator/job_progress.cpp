// A job on its way: workers get ready, steps are committed, checkpoints become whole.
#include "daemon/coordinator/job.hpp"

#include "proto/failure.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

namespace longhaul::daemon {

namespace {

std::uint64_t total_bytes(const wire::JobStatus& status) {
  std::uint64_t total = 0;
  for (const auto& stage : status.stages()) {
    for (const auto& link : stage.links()) total += link.bytes_sent();
  }
  return total;
}

// Steps that the measured time of a step is the median of.
constexpr int kRecentSteps = 31;

double median(const google::protobuf::RepeatedField<double>& values) {
  std::vector<double> sorted(values.begin(), values.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() / 2);
  std::ranges::nth_element(sorted, middle);
  return *middle;
}

// Held events wait for the step that they carry.
std::uint64_t step_of(const wire::JobEvent& event) {
  return event.has_evaluation() ? event.evaluation().step() : event.step().step();
}

}  // namespace

void Job::on_ready(std::uint32_t stage, const wire::WorkerReady& ready, JobEffects& effects) {
  auto& record = *record_.mutable_stages(static_cast<int>(stage));
  if (record.state() != wire::StageRecord::STARTING) return;
  record.set_state(wire::StageRecord::PREPARED);
  *record.mutable_ready() = ready;
  record.set_step(ready.first_step());
  record.set_checkpoint_step(ready.first_step());
  effects.changed = true;
  for (const auto& other : record_.stages()) {
    if (other.state() != wire::StageRecord::PREPARED) return;
  }
  for (const auto& other : record_.stages()) {
    if (other.step() == ready.first_step()) continue;
    wire::Failure failure;
    failure.set_kind(wire::Failure::CONFIGURATION);
    failure.set_message(fmt::format(
        "the stages found checkpoints of different steps ({} and {}): every node must see the "
        "whole folder given with --resume",
        other.step(), ready.first_step()));
    suspect(std::move(failure), effects);
    return;
  }
  auto& status = *record_.mutable_status();
  status.set_step(ready.first_step());
  if (ready.first_step() > 0) {
    note(fmt::format("continues after step {}", ready.first_step()));
  }
  std::set<std::string> noted;  // stages that see the same folder say the same
  for (const auto& stage_record : record_.stages()) {
    for (const std::string& line : stage_record.ready().notes()) {
      if (noted.insert(line).second) note("warning: " + line);
    }
  }
  for (std::uint32_t i = 0; i < stages(); ++i) {
    record_.mutable_stages(static_cast<int>(i))->set_state(wire::StageRecord::RUNNING);
    send_begin(i, effects);
  }
}

void Job::enter_training(JobEffects& effects) {
  if (record_.status().state() != wire::PREPARING) return;
  record_.mutable_status()->set_state(wire::TRAINING);
  emit_state(effects);
}

void Job::on_linked(std::uint32_t stage, JobEffects& effects) {
  auto& record = *record_.mutable_stages(static_cast<int>(stage));
  if (record.linked()) return;
  record.set_linked(true);
  effects.changed = true;
  if (std::ranges::all_of(record_.stages(), [](const auto& s) { return s.linked(); })) {
    enter_training(effects);
  }
}

void Job::update_stage(std::uint32_t stage, const wire::StageReport& report) {
  auto& kept = *record_.mutable_status()->mutable_stages(static_cast<int>(stage));
  kept = report;
  kept.set_stage(stage);
}

void Job::on_step(std::uint32_t stage, const wire::StepReport& step, JobEffects& effects) {
  auto& record = *record_.mutable_stages(static_cast<int>(stage));
  if (record.state() != wire::StageRecord::RUNNING || step.step() <= record.step()) return;
  enter_training(effects);
  record.set_step(step.step());
  effects.changed = true;
  if (step.has_stage()) update_stage(stage, step.stage());
  if (stage + 1 == stages()) {
    auto& held = *record_.add_held()->mutable_step();
    held = step;
    held.clear_stage();
  }
  release_held(effects);
}

void Job::on_evaluation(std::uint32_t stage, const wire::EvaluationReport& report,
                        JobEffects& effects) {
  auto& status = *record_.mutable_status();
  if (stage + 1 != stages()) return;
  if (status.has_evaluation() && report.step() <= record_.evaluated_step()) return;
  record_.set_evaluated_step(report.step());
  status.set_has_evaluation(true);
  status.set_evaluation_loss(report.loss());
  *record_.add_held()->mutable_evaluation() = report;
  effects.changed = true;
  release_held(effects);
}

void Job::release_held(JobEffects& effects) {
  const std::uint64_t committed = committed_step();
  auto& status = *record_.mutable_status();
  status.set_step(committed);
  auto& held = *record_.mutable_held();
  int released = 0;
  for (; released < held.size() && step_of(held.Get(released)) <= committed; ++released) {
    wire::JobEvent event = std::move(*held.Mutable(released));
    if (event.has_step()) {
      const auto& step = event.step();
      status.set_loss(step.loss());
      status.set_learning_rate(step.learning_rate());
      if (step.step_time_s() > 0.0) {
        status.set_tokens_per_s(static_cast<double>(step.tokens()) / step.step_time_s());
        auto& recent = *record_.mutable_recent_step_s();
        if (recent.size() >= kRecentSteps) recent.erase(recent.begin());
        recent.Add(step.step_time_s());
        status.set_measured_step_s(median(recent));
      }
      *event.mutable_stages() = status.stages();
      event.set_bytes_sent(total_bytes(status));
    }
    emit(std::move(event), effects);
  }
  held.DeleteSubrange(0, released);
}

void Job::on_checkpoint(std::uint32_t stage, const wire::CheckpointReport& report,
                        JobEffects& effects) {
  auto& record = *record_.mutable_stages(static_cast<int>(stage));
  if (report.step() <= record.checkpoint_step() && report.error().empty()) return;
  wire::JobEvent event;
  if (!report.error().empty()) {
    *event.mutable_checkpoint() = report;
    event.mutable_checkpoint()->set_error(proto::one_line(
        fmt::format("stage {} ({}): {}", stage, node_of(stage), report.error())));
    note(fmt::format("checkpoint of step {}: {}", report.step(), event.checkpoint().error()));
    emit(std::move(event), effects);
    return;
  }
  record.set_checkpoint_step(report.step());
  effects.changed = true;
  // Whole only once every stage has written its part.
  for (const auto& other : record_.stages()) {
    if (other.checkpoint_step() < report.step()) return;
  }
  *event.mutable_checkpoint() = report;
  emit(std::move(event), effects);
}

void Job::on_exported(const wire::ExportReport& report, JobEffects& effects) {
  wire::JobEvent event;
  *event.mutable_exported() = report;
  if (report.error().empty()) {
    record_.mutable_status()->set_exported_to(report.path());
  } else {
    note(fmt::format("export: {}", report.error()));
  }
  emit(std::move(event), effects);
}

}  // namespace longhaul::daemon
