// From a submission to a job: nodes measure what the planner wants to know, then it is planned.
#include "daemon/coordinator/coordinator.hpp"

#include "daemon/configuration/profile_file.hpp"
#include "daemon/coordinator/planning.hpp"
#include "daemon/planning/profile_request.hpp"
#include "proto/job.hpp"
#include "proto/profile_key.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace longhaul::daemon {

namespace {

constexpr std::size_t kMostWaiting = 64;
constexpr std::size_t kMostProfiles = 1000;
// For each graph and shape; there are up to two graphs and four shapes.
constexpr double kSecondsPerShape = 0.5;
// One measurement, from the order to the answer; the node's own deadline comes first.
constexpr std::chrono::seconds kMeasurementPatience{150};

std::string profile_name(const std::string& kind, const std::string& model) {
  return fmt::format("{} of {}", model, kind);
}

wire::ProfileRequest request_for(const wire::SubmitJob& submit) {
  wire::ProfileRequest request = profile_request(submit.job());
  if (submit.profile_graphs().empty()) {
    *request.add_graphs() = submit.graph();
  } else {
    *request.mutable_graphs() = submit.profile_graphs();
  }
  request.set_seconds(kSecondsPerShape);
  return request;
}

bool wants_profiles(const wire::SubmitJob& submit) {
  return !submit.has_plan() && !submit.planner().empty() && submit.planner() != kEqualCompute;
}

}  // namespace

void Coordinator::on_submit(const proto::ControlPeer& from, std::uint64_t request,
                            const wire::SubmitJob& submit) {
  Waiting submission{.peer = from,
                     .request = request,
                     .submit = submit,
                     .model = {},
                     .deadline = clock_.now() + options_.profile_patience,
                     .unprofiled = {}};
  if (!wants_profiles(submit)) return plan_and_start(submission);
  if (auto valid = check_submission(submit); !valid) return refuse(from, request, valid.error());
  if (waiting_.size() >= kMostWaiting) {
    return refuse(from, request,
                  {proto::ErrorKind::kResource, "too many jobs wait to be planned: wait"});
  }
  submission.model = fmt::format("{:016x}", proto::profile_key(request_for(submit)));
  waiting_.push_back(std::move(submission));
  advance_submissions();
}

// Plans what has all that its planner wants to know, or has waited long enough. One after the
// other: a later submission's measurement would falsify an earlier one's.
void Coordinator::advance_submissions() {
  while (!waiting_.empty()) {
    if (clock_.now() < waiting_.front().deadline && !profiled(waiting_.front())) return;
    const Waiting submission = std::move(waiting_.front());
    waiting_.pop_front();
    plan_and_start(submission);
  }
}

// Whether every kind among the nodes that are free has a profile, or is known to get none; orders
// what is missing, from one node of each kind.
bool Coordinator::profiled(Waiting& submission) {
  bool complete = true;
  for (const auto& [name, entry] : nodes_.all()) {
    if (!entry.present || !entry.workers.empty()) continue;
    const wire::Device& device = computing_device(entry.info);
    const std::string kind = kind_of(device);
    const std::string key = profile_name(kind, submission.model);
    if (entry.measuring) complete = false;  // it is free soon
    if (profiles_.contains(key) || submission.unprofiled.contains(kind)) continue;
    complete = false;
    if (measurements_.contains(key)) continue;
    order_profile(submission, kind, *nodes_.find(name), device);
  }
  return complete;
}

void Coordinator::order_profile(const Waiting& submission, const std::string& kind, Node& node,
                                const wire::Device& device) {
  const std::string place = node.info.machine().empty() ? node.info.host() : node.info.machine();
  for (const auto& [key, measurement] : measurements_) {
    if (measurement.place == place) return;  // processors are shared: one at a time
  }
  const std::string key = profile_name(kind, submission.model);
  wire::Envelope order;
  order.mutable_measure_profile()->set_key(key);
  auto& request = *order.mutable_measure_profile()->mutable_request();
  request = request_for(submission.submit);
  request.set_device(device.name());
  request.set_threads(std::max(1u, device.threads()));
  measurements_.emplace(key, Measurement{.node = node.info.name(),
                                         .kind = kind,
                                         .place = place,
                                         .deadline = clock_.now() + kMeasurementPatience});
  node.measuring = true;
  to_node(node.info.name(), std::move(order));
}

void Coordinator::on_profile(const std::string& name, const wire::ProfileMeasured& measured) {
  const auto found = measurements_.find(measured.key());
  if (found == measurements_.end() || found->second.node != name) return;
  std::string why = measured.error();
  if (why.empty()) {
    auto profile = parse_profile(measured.profile(), "the profile that " + name + " sent");
    if (profile) {
      if (profiles_.size() >= kMostProfiles) profiles_.clear();  // nodes keep them
      profiles_.insert_or_assign(measured.key(), std::move(*profile));
    } else {
      why = to_string(profile.error());
    }
  }
  end_measurement(measured.key(), why);
  answer_node_queries();
  advance_submissions();
}

// `why` there is no profile; empty if there is one, or it may be asked for again.
void Coordinator::end_measurement(const std::string& key, const std::string& why) {
  const auto found = measurements_.find(key);
  const Measurement measurement = std::move(found->second);
  measurements_.erase(found);
  if (Node* node = nodes_.find(measurement.node)) node->measuring = false;
  if (why.empty()) return;
  for (Waiting& submission : waiting_) {
    if (profile_name(measurement.kind, submission.model) == key) {
      submission.unprofiled.emplace(measurement.kind, measurement.node + ": " + why);
    }
  }
}

// The node is gone, or begins anew.
void Coordinator::drop_measurements(const std::string& name) {
  std::vector<std::string> keys;
  for (const auto& [key, measurement] : measurements_) {
    if (measurement.node == name) keys.push_back(key);
  }
  for (const std::string& key : keys) end_measurement(key, {});
}

void Coordinator::expire_measurements(TimePoint now) {
  std::vector<std::string> keys;
  for (const auto& [key, measurement] : measurements_) {
    if (now >= measurement.deadline) keys.push_back(key);
  }
  for (const std::string& key : keys) end_measurement(key, "it does not answer");
}

FleetKnowledge Coordinator::knowledge_for(const Waiting& submission) const {
  FleetKnowledge known;
  known.unprofiled = submission.unprofiled;
  for (const auto& [name, node] : nodes_.all()) {
    if (!node.present) continue;
    const std::string kind = kind_of(computing_device(node.info));
    const auto profile = profiles_.find(profile_name(kind, submission.model));
    if (profile != profiles_.end()) known.profiles.emplace(kind, profile->second);
  }
  std::map<std::uint64_t, const Job*> oldest_first;
  for (const auto& [id, job] : jobs_) oldest_first.emplace(job.assignment().plan().epoch(), &job);
  for (const auto& [epoch, job] : oldest_first) {
    const auto& stages = job->assignment().plan().stages();
    for (const auto& report : job->record().status().stages()) {
      for (const auto& link : report.links()) {
        const auto most = static_cast<std::uint32_t>(stages.size());
        if (link.goodput() <= 0.0 || link.from_stage() >= most || link.to_stage() >= most) continue;
        const auto& from = nodes_.all().find(stages[static_cast<int>(link.from_stage())].node());
        const auto& to = nodes_.all().find(stages[static_cast<int>(link.to_stage())].node());
        if (from == nodes_.all().end() || to == nodes_.all().end()) continue;
        known.paths[{from->first, to->first}] = {.from_site = from->second.info.site(),
                                                 .to_site = to->second.info.site(),
                                                 .bytes_per_s = link.goodput(),
                                                 .at_least = link.goodput_is_lower_bound(),
                                                 .round_trip_s = link.round_trip_s()};
      }
    }
  }
  return known;
}

void Coordinator::plan_and_start(const Waiting& submission) {
  PlanningRequest planning{.submission = submission.submit,
                           .job_id = fmt::format("job-{}", epoch_ + 1),
                           .epoch = epoch_ + 1,
                           .free_nodes = nodes_.free_nodes(),
                           .not_free = {},
                           .known_nodes = {},
                           .knowledge = {},
                           .search_s = options_.planning_s};
  if (wants_profiles(submission.submit)) planning.knowledge = knowledge_for(submission);
  for (const auto& [name, node] : nodes_.all()) {
    planning.known_nodes.push_back(name);
    if (!node.present) {
      planning.not_free.push_back(fmt::format("{} is gone: {}", name, node.reason));
    } else if (!node.workers.empty()) {
      planning.not_free.push_back(
          fmt::format("{} is busy with {}", name, node.workers.begin()->job_id));
    } else if (node.measuring) {
      planning.not_free.push_back(fmt::format("{} measures a model", name));
    }
  }
  auto assignment = plan_job(planning);
  if (!assignment) {
    refuse(submission.peer, submission.request, assignment.error());
    return;
  }
  transition_.epoch = ++epoch_;
  transition_.new_jobs.push_back(*assignment);
  auto [entry, is_new] = jobs_.emplace(planning.job_id, Job(std::move(*assignment), clock_));
  wire::Envelope accepted;
  accepted.mutable_accepted()->set_job_id(planning.job_id);
  reply(submission.peer, submission.request, std::move(accepted));
  take(entry->second, entry->second.start());
  forget_old_jobs();
}

}  // namespace longhaul::daemon
