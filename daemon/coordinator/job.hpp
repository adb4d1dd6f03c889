// One job's state machine: from its first StartWorker to done, failed or cancelled.
#pragma once

#include "daemon/coordinator/world.hpp"
#include "daemon/host/worker_id.hpp"

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace longhaul::daemon {

// What a job wants done because of what it was told. Nothing is sent before it is stored.
struct JobEffects {
  std::vector<std::pair<std::string, wire::Envelope>> to_nodes;  // by node name, in order
  std::vector<wire::JobEvent> events;
  bool changed = false;  // the record must be stored
  bool durable = false;
};

// How close a failure is to the first cause; the highest is what the user reads. A worker that
// loses a neighbour reports LOST just as the node that saw a worker killed does, and both may
// follow from a NaN that a third is about to report: NUMERIC, CONFIGURATION and RESOURCE end the
// job at once, the others wait a grace period for something closer to the cause.
[[nodiscard]] int closeness_to_cause(const wire::Failure& failure);

class Job {
 public:
  // Whether the node was heard of after that time.
  using HeardSince = std::function<bool(const std::string& node, TimePoint since)>;

  Job(wire::Assignment assignment, const Clock& clock);  // as submitted; start() comes next
  Job(StoredJob stored, const Clock& clock);             // as it was when the coordinator ended

  [[nodiscard]] const std::string& id() const { return assignment_.job_id(); }
  [[nodiscard]] bool ended() const;
  [[nodiscard]] wire::JobStatus status() const;  // with the plan
  [[nodiscard]] const wire::JobRecord& record() const { return record_; }
  [[nodiscard]] const wire::Assignment& assignment() const { return assignment_; }

  // The stage's id if the job runs, in this epoch, and the node hosts it.
  [[nodiscard]] bool hosts(const std::string& node, const WorkerId& id) const;
  // Stages on the node whose worker should be there.
  [[nodiscard]] std::vector<WorkerId> expected_on(const std::string& node) const;

  JobEffects start();
  // An event of a worker that the job `hosts`. Repeated ones change nothing.
  JobEffects on_worker_event(const wire::WorkerEvent& event);
  // The stage's worker or node is gone.
  JobEffects on_worker_lost(std::uint32_t stage, const std::string& reason);
  // The node registered again. What it may have missed is sent again: the node ignores repeats.
  JobEffects on_node_back(std::uint32_t stage, bool worker_is_there);
  JobEffects cancel();
  // Refused with the reason unless the job trains.
  proto::Result<JobEffects> export_to(const std::string& directory);
  // Something went wrong, and the first cause of it may still be reported.
  [[nodiscard]] bool suspected() const { return suspected_since_.has_value(); }
  // Of the stages that have not ended.
  [[nodiscard]] std::set<std::string> running_nodes() const;
  // Fails the job when the grace period of a suspected failure is over and every node that still
  // runs a stage was heard of since: a silent one may be the cause, and is lost soon.
  JobEffects on_tick(TimePoint now, milliseconds grace, const HeardSince& heard_since);

 private:
  void on_ready(std::uint32_t stage, const wire::WorkerReady& ready, JobEffects& effects);
  void on_linked(std::uint32_t stage, JobEffects& effects);
  void on_step(std::uint32_t stage, const wire::StepReport& step, JobEffects& effects);
  void on_evaluation(std::uint32_t stage, const wire::EvaluationReport& report,
                     JobEffects& effects);
  void on_checkpoint(std::uint32_t stage, const wire::CheckpointReport& report,
                     JobEffects& effects);
  void on_exported(const wire::ExportReport& report, JobEffects& effects);
  void on_finished(std::uint32_t stage, const wire::WorkerFinished& finished, JobEffects& effects);
  void on_failed(std::uint32_t stage, wire::Failure failure, JobEffects& effects);

  void release_held(JobEffects& effects);
  void suspect(wire::Failure failure, JobEffects& effects);
  void end(wire::JobState state, const wire::Failure* failure, JobEffects& effects);
  void enter_training(JobEffects& effects);
  void update_stage(std::uint32_t stage, const wire::StageReport& report);
  void note(std::string line);
  void emit(wire::JobEvent event, JobEffects& effects);
  void emit_state(JobEffects& effects);
  void command(std::uint32_t stage, wire::WorkerCommand command, JobEffects& effects) const;
  void send_start(std::uint32_t stage, JobEffects& effects) const;
  void send_begin(std::uint32_t stage, JobEffects& effects) const;
  [[nodiscard]] std::uint32_t stages() const;
  [[nodiscard]] const std::string& node_of(std::uint32_t stage) const;
  [[nodiscard]] bool stage_ended(std::uint32_t stage) const;
  [[nodiscard]] std::uint64_t committed_step() const;  // that every stage has applied

  const Clock& clock_;
  wire::Assignment assignment_;
  wire::JobRecord record_;
  std::optional<TimePoint> suspected_since_;
};

}  // namespace longhaul::daemon
