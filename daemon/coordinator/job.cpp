// What a job is made of and says to its nodes; job_progress.cpp and job_end.cpp have the rest.
#include "daemon/coordinator/job.hpp"

#include "proto/failure.hpp"
#include "proto/assert.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <ranges>

namespace longhaul::daemon {

namespace {

constexpr int kKeptLogLines = 64;

}  // namespace

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
  for (const auto& line : assignment_.plan().notes()) note(line);
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
  log.Add(proto::one_line(std::move(line)));
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
    return on_worker_lost(stage,
                          "its node came back without the worker: the daemon there restarted");
  } else if (state == wire::StageRecord::RUNNING) {
    send_begin(stage, effects);
  }
  return effects;
}

}  // namespace longhaul::daemon
