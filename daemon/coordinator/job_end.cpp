// How a job ends: finished, cancelled, or with the first cause of its failure.
#include "daemon/coordinator/job.hpp"

#include "proto/failure.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace longhaul::daemon {

namespace {

bool ends_at_once(const wire::Failure& failure) { return closeness_to_cause(failure) >= 2; }

}  // namespace

int closeness_to_cause(const wire::Failure& failure) {
  if (failure.kind() == wire::Failure::NUMERIC) return 3;
  if (failure.kind() == wire::Failure::CONFIGURATION) return 2;
  if (failure.kind() == wire::Failure::RESOURCE) return 2;
  if (failure.kind() == wire::Failure::INTERNAL) return 1;
  return failure.first_hand() ? 1 : 0;
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
      proto::one_line(fmt::format("stage {} ({}): {}", stage, node_of(stage), failure.message())));
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

std::set<std::string> Job::running_nodes() const {
  std::set<std::string> nodes;
  for (std::uint32_t i = 0; i < stages(); ++i) {
    if (!stage_ended(i)) nodes.insert(node_of(i));
  }
  return nodes;
}

JobEffects Job::on_tick(TimePoint now, milliseconds grace, const HeardSince& heard_since) {
  JobEffects effects;
  if (ended() || !suspected_since_ || now - *suspected_since_ < grace) return effects;
  for (const auto& node : running_nodes()) {
    if (!heard_since(node, *suspected_since_)) return effects;
  }
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

}  // namespace longhaul::daemon
