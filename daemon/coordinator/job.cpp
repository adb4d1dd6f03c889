// The transitions of a job; see job.hpp for what each means.
#include "daemon/coordinator/job.hpp"

#include "proto/assert.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

namespace longhaul::daemon {

namespace {

constexpr int kKeptLogLines = 64;
constexpr std::size_t kMaxMessageBytes = 2000;

std::string one_line(std::string text) {
  for (char& c : text) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = ' ';
  }
  if (text.size() > kMaxMessageBytes) {
    // Not inside a UTF-8 sequence.
    std::size_t end = kMaxMessageBytes;
    while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
    text.resize(end);
  }
  return text;
}

bool ends_at_once(const wire::Failure& failure) {
  return closeness_to_cause(failure) >= 2;
}

std::uint64_t total_bytes(const wire::JobStatus& status) {
  std::uint64_t total = 0;
  for (const auto& stage : status.stages()) {
    for (const auto& link : stage.links()) total += link.bytes_sent();
  }
  return total;
}

// Held events wait for the step that they carry.
std::uint64_t step_of(const wire::JobEvent& event) {
  return event.has_evaluation() ? event.evaluation().step() : event.step().step();
}

}  // namespace

int closeness_to_cause(const wire::Failure& failure) {
  if (failure.kind() == wire::Failure::NUMERIC) return 3;
  if (failure.kind() == wire::Failure::CONFIGURATION) return 2;
  if (failure.kind() == wire::Failure::RESOURCE) return 2;
  if (failure.kind() == wire::Failure::INTERNAL) return 1;
  return failure.first_hand() ? 1 : 0;
}

Job::Job(wire::Assignment assignment, const Clock& clock)
    : clock_(clock), assignment_(std::move(assignment)) {
  auto& status = *record_.mutable_status();
  status.set_id(assignment_.job_id());
  status.set_name(assignment_.job().name());
  status.set_state(wire::PREPARING);
  status.set_steps(assignment_.job().training().steps());
  status.set_submitted_unix_ms(clock_.unix_ms());
  for (std::uint32_t i = 0; i < stages(); ++i) {
    record_.add_stages();
    status.add_stages()->set_stage(i);
  }
}

Job::Job(StoredJob stored, const Clock& clock)
    : clock_(clock),
      assignment_(std::move(stored.assignment)),
      record_(std::move(stored.record)) {
  LONGHAUL_ASSERT(record_.stages_size() == assignment_.plan().stages_size());
  if (record_.has_suspected()) suspected_since_ = clock_.now();
}

bool Job::ended() const {
  const auto state = record_.status().state();
  return state == wire::DONE || state == wire::FAILED || state == wire::CANCELLED;
}

wire::JobStatus Job::status() const {
  wire::JobStatus status = record_.status();
  *status.mutable_plan() = assignment_.plan();
  return status;
}

std::uint32_t Job::stages() const {
  return static_cast<std::uint32_t>(assignment_.plan().stages_size());
}

const std::string& Job::node_of(std::uint32_t stage) const {
  return assignment_.plan().stages(static_cast<int>(stage)).node();
}

bool Job::stage_ended(std::uint32_t stage) const {
  const auto state = record_.stages(static_cast<int>(stage)).state();
  return state == wire::StageRecord::FINISHED || state == wire::StageRecord::LOST_OR_FAILED;
}

std::uint64_t Job::committed_step() const {
  return std::ranges::min(record_.stages() |
                          std::views::transform([](const auto& stage) { return stage.step(); }));
}

bool Job::hosts(const std::string& node, const WorkerId& id) const {
  return !ended() && id.job_id == assignment_.job_id() && id.epoch == assignment_.plan().epoch() &&
         id.stage < stages() && node_of(id.stage) == node;
}

std::vector<WorkerId> Job::expected_on(const std::string& node) const {
  std::vector<WorkerId> expected;
  for (std::uint32_t i = 0; i < stages() && !ended(); ++i) {
    if (node_of(i) != node || stage_ended(i)) continue;
    expected.push_back({assignment_.job_id(), assignment_.plan().epoch(), i});
  }
  return expected;
}

void Job::emit(wire::JobEvent event, JobEffects& effects) {
  event.set_index(record_.next_event());
  event.set_unix_ms(clock_.unix_ms());
  record_.set_next_event(record_.next_event() + 1);
  effects.changed = true;
  effects.events.push_back(std::move(event));
}

void Job::emit_state(JobEffects& effects) {
  wire::JobEvent event;
  *event.mutable_state() = status();
  effects.durable = true;
  emit(std::move(event), effects);
}

void Job::note(std::string line) {
  auto& log = *record_.mutable_status()->mutable_log();
  log.Add(one_line(std::move(line)));
  if (log.size() > kKeptLogLines) log.DeleteSubrange(0, log.size() - kKeptLogLines);
}

void Job::command(std::uint32_t stage, wire::WorkerCommand command, JobEffects& effects) const {
  set_worker_id(command, {assignment_.job_id(), assignment_.plan().epoch(), stage});
  wire::Envelope envelope;
  *envelope.mutable_worker_command() = std::move(command);
  effects.to_nodes.emplace_back(node_of(stage), std::move(envelope));
}

void Job::send_start(std::uint32_t stage, JobEffects& effects) const {
  wire::Envelope envelope;
  auto& assignment = *envelope.mutable_start_worker()->mutable_assignment();
  assignment = assignment_;
  assignment.set_stage(stage);
  effects.to_nodes.emplace_back(node_of(stage), std::move(envelope));
}

void Job::send_begin(std::uint32_t stage, JobEffects& effects) const {
  wire::WorkerCommand begin;
  begin.mutable_begin();
  for (std::uint32_t i = 0; i < stages(); ++i) {
    if (i == stage) continue;
    auto& peer = *begin.mutable_begin()->add_peers();
    peer.set_stage(i);
    peer.set_endpoint(record_.stages(static_cast<int>(i)).ready().endpoint());
    peer.set_public_key(record_.stages(static_cast<int>(i)).ready().public_key());
  }
  command(stage, std::move(begin), effects);
}

JobEffects Job::start() {
  JobEffects effects;
  for (std::uint32_t i = 0; i < stages(); ++i) send_start(i, effects);
  emit_state(effects);
  return effects;
}

JobEffects Job::on_worker_event(const wire::WorkerEvent& event) {
  JobEffects effects;
  const std::uint32_t stage = event.stage();
  if (ended() || stage_ended(stage)) return effects;
  switch (event.event_case()) {
    case wire::WorkerEvent::kReady:
      on_ready(stage, event.ready(), effects);
      break;
    case wire::WorkerEvent::kLinked:
      on_linked(stage, effects);
      break;
    case wire::WorkerEvent::kStep:
      on_step(stage, event.step(), effects);
      break;
    case wire::WorkerEvent::kEvaluation:
      on_evaluation(stage, event.evaluation(), effects);
      break;
    case wire::WorkerEvent::kCheckpoint:
      on_checkpoint(stage, event.checkpoint(), effects);
      break;
    case wire::WorkerEvent::kExported:
      on_exported(event.exported(), effects);
      break;
    case wire::WorkerEvent::kFinished:
      on_finished(stage, event.finished(), effects);
      break;
    case wire::WorkerEvent::kFailed:
      on_failed(stage, event.failed(), effects);
      break;
    case wire::WorkerEvent::EVENT_NOT_SET:
      break;
  }
  return effects;
}

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
        "the stages found checkpoints of different steps ({} and {}): every node must see the whole "
        "folder given with --resume",
        other.step(), ready.first_step()));
    suspect(std::move(failure), effects);
    return;
  }
  auto& status = *record_.mutable_status();
  status.set_step(ready.first_step());
  if (ready.first_step() > 0) {
    note(fmt::format("continues after step {}", ready.first_step()));
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
    event.mutable_checkpoint()->set_error(one_line(
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

void Job::on_finished(std::uint32_t stage, const wire::WorkerFinished& finished,
                      JobEffects& effects) {
  record_.mutable_stages(static_cast<int>(stage))->set_state(wire::StageRecord::FINISHED);
  if (finished.has_stage()) update_stage(stage, finished.stage());
  effects.changed = effects.durable = true;
  const bool all = std::ranges::all_of(record_.stages(), [](const auto& record) {
    return record.state() == wire::StageRecord::FINISHED;
  });
  if (all) end(wire::DONE, nullptr, effects);
}

void Job::on_failed(std::uint32_t stage, wire::Failure failure, JobEffects& effects) {
  record_.mutable_stages(static_cast<int>(stage))->set_state(wire::StageRecord::LOST_OR_FAILED);
  effects.durable = true;
  // Only cancel() cancels a job; a worker that was stopped otherwise is lost to it.
  if (failure.kind() == wire::Failure::CANCELLED) failure.set_kind(wire::Failure::LOST);
  failure.set_message(
      one_line(fmt::format("stage {} ({}): {}", stage, node_of(stage), failure.message())));
  suspect(std::move(failure), effects);
}

JobEffects Job::on_worker_lost(std::uint32_t stage, const std::string& reason) {
  JobEffects effects;
  if (ended() || stage_ended(stage)) return effects;
  wire::Failure failure;
  failure.set_kind(wire::Failure::LOST);
  failure.set_first_hand(true);
  failure.set_message(reason);
  on_failed(stage, std::move(failure), effects);
  return effects;
}

void Job::suspect(wire::Failure failure, JobEffects& effects) {
  note(failure.message());
  effects.changed = true;
  if (!record_.has_suspected() ||
      closeness_to_cause(failure) > closeness_to_cause(record_.suspected())) {
    *record_.mutable_suspected() = std::move(failure);
  }
  if (!suspected_since_) suspected_since_ = clock_.now();
  bool others_may_report = false;
  for (std::uint32_t i = 0; i < stages(); ++i) others_may_report |= !stage_ended(i);
  if (!others_may_report || ends_at_once(record_.suspected())) {
    const wire::Failure cause = record_.suspected();
    end(wire::FAILED, &cause, effects);
  }
}

JobEffects Job::on_tick(TimePoint now, milliseconds grace) {
  JobEffects effects;
  if (ended() || !suspected_since_ || now - *suspected_since_ < grace) return effects;
  const wire::Failure cause = record_.suspected();
  end(wire::FAILED, &cause, effects);
  return effects;
}

void Job::end(wire::JobState state, const wire::Failure* failure, JobEffects& effects) {
  auto& status = *record_.mutable_status();
  status.set_state(state);
  if (failure != nullptr) *status.mutable_failure() = *failure;
  for (std::uint32_t i = 0; i < stages(); ++i) {
    if (stage_ended(i)) continue;
    wire::WorkerCommand stop;
    stop.mutable_stop();
    command(i, std::move(stop), effects);
  }
  record_.clear_held();
  record_.clear_suspected();
  suspected_since_.reset();
  emit_state(effects);
}

JobEffects Job::cancel() {
  JobEffects effects;
  if (ended()) return effects;
  wire::Failure failure;
  failure.set_kind(wire::Failure::CANCELLED);
  failure.set_message(fmt::format("cancelled after step {}", record_.status().step()));
  end(wire::CANCELLED, &failure, effects);
  return effects;
}

proto::Result<JobEffects> Job::export_to(const std::string& directory) {
  if (record_.status().state() != wire::TRAINING) {
    return proto::configuration_error(fmt::format(
        "job {} does not train now: a job's own `export` folder, or `longhaul run --export`, takes "
        "the model at the end",
        id()));
  }
  JobEffects effects;
  wire::WorkerCommand ask;
  ask.mutable_export_()->set_directory(directory);
  command(0, std::move(ask), effects);  // stage 0 gathers the parameters from the others
  return effects;
}

JobEffects Job::on_node_back(std::uint32_t stage, bool worker_is_there) {
  JobEffects effects;
  if (ended() || stage_ended(stage)) return effects;
  const auto state = record_.stages(static_cast<int>(stage)).state();
  if (state == wire::StageRecord::STARTING) {
    // Even if the worker is there: the node ignores a second order for it.
    send_start(stage, effects);
  } else if (!worker_is_there) {
    return on_worker_lost(stage, "its node came back without the worker: the daemon there restarted");
  } else if (state == wire::StageRecord::RUNNING) {
    send_begin(stage, effects);
  }
  return effects;
}

}  // namespace longhaul::daemon
