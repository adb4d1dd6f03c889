// What operators ask of the coordinator, and its answers.
#include "daemon/coordinator/coordinator.hpp"

#include "proto/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace longhaul::daemon {

namespace {

proto::Error no_such_job(const std::string& id) {
  return proto::configuration_error(
      fmt::format("there is no job {}: see `longhaul job list`", proto::quoted(id)));
}

}  // namespace

void Coordinator::on_operator_message(const proto::ControlPeer& from, wire::Envelope message) {
  const std::uint64_t request = message.request();
  if (message.has_submit_job()) {
    on_submit(from, request, message.submit_job());
  } else if (message.has_list_jobs()) {
    wire::Envelope answer;
    *answer.mutable_job_list() = job_list();
    reply(from, request, std::move(answer));
  } else if (message.has_show_job()) {
    on_show_job(from, request, message.show_job().job_id());
  } else if (message.has_watch_job()) {
    on_watch(from, request, message.watch_job());
  } else if (message.has_cancel_job()) {
    on_cancel(from, request, message.cancel_job().job_id());
  } else if (message.has_export_job()) {
    on_export(from, request, message.export_job());
  } else if (message.has_list_nodes()) {
    node_queries_.push_back({from, request, message.list_nodes().ready()});
    answer_node_queries();
  } else if (message.has_show_node()) {
    on_show_node(from, request, message.show_node().name());
  } else {
    refuse(from, request, {proto::ErrorKind::kInternal, "no request that an operator can make"});
  }
}

void Coordinator::on_show_job(const proto::ControlPeer& from, std::uint64_t request,
                              const std::string& job_id) {
  const Job* job = find_job(job_id);
  if (job == nullptr) {
    refuse(from, request, no_such_job(job_id));
    return;
  }
  wire::Envelope answer;
  *answer.mutable_job_status() = job->status();
  reply(from, request, std::move(answer));
}

void Coordinator::on_show_node(const proto::ControlPeer& from, std::uint64_t request,
                               const std::string& name) {
  const Node* node = nodes_.find(name);
  if (node == nullptr) {
    refuse(from, request,
           proto::configuration_error(
               fmt::format("there is no node {}: see `longhaul node list`", proto::quoted(name))));
    return;
  }
  wire::Envelope answer;
  *answer.mutable_node_status() = shown_status(*node);
  reply(from, request, std::move(answer));
}

void Coordinator::on_watch(const proto::ControlPeer& from, std::uint64_t request,
                           const wire::WatchJob& watch) {
  const Job* job = find_job(watch.job_id());
  if (job == nullptr) {
    refuse(from, request, no_such_job(watch.job_id()));
    return;
  }
  std::erase_if(watchers_, [&](const Watcher& old) {  // renewed
    return old.peer == from && old.request == request;
  });
  const auto events = store_.events(watch.job_id(), watch.from_event());
  if (!events) throw proto::Failed(events.error());
  for (const auto& event : *events) {
    wire::Envelope envelope;
    *envelope.mutable_job_event() = event;
    reply(from, request, std::move(envelope));
  }
  if (!job->ended()) watchers_.push_back({from, request, watch.job_id()});
}

void Coordinator::on_cancel(const proto::ControlPeer& from, std::uint64_t request,
                            const std::string& job_id) {
  Job* job = find_job(job_id);
  if (job == nullptr) {
    refuse(from, request, no_such_job(job_id));
  } else if (job->ended()) {
    refuse(from, request,
           proto::configuration_error(fmt::format("job {} has ended already", job_id)));
  } else {
    take(*job, job->cancel());
    wire::Envelope accepted;
    accepted.mutable_accepted()->set_job_id(job_id);
    reply(from, request, std::move(accepted));
  }
}

void Coordinator::on_export(const proto::ControlPeer& from, std::uint64_t request,
                            const wire::ExportJob& ask) {
  Job* job = find_job(ask.job_id());
  if (job == nullptr) {
    refuse(from, request, no_such_job(ask.job_id()));
    return;
  }
  if (!ask.directory().starts_with('/')) {
    refuse(from, request,
           proto::configuration_error("the export's folder must be an absolute path"));
    return;
  }
  auto effects = job->export_to(ask.directory());
  if (!effects) {
    refuse(from, request, effects.error());
    return;
  }
  take(*job, std::move(*effects));
  wire::Envelope accepted;
  accepted.mutable_accepted()->set_job_id(ask.job_id());
  reply(from, request, std::move(accepted));
}

wire::NodeStatus Coordinator::node_status(const Node& node) const {
  wire::NodeStatus status;
  *status.mutable_info() = node.info;
  status.set_since_unix_ms(node.since_unix_ms);
  status.set_reason(node.reason);
  if (!node.workers.empty()) status.set_job_id(node.workers.begin()->job_id);
  const bool busy = !node.workers.empty();
  status.set_state(!node.present ? wire::GONE : busy ? wire::BUSY : wire::READY);
  return status;
}

// A node that is ready takes no job for now, where there is a reason.
wire::NodeStatus Coordinator::shown_status(const Node& node) const {
  wire::NodeStatus status = node_status(node);
  if (node.present && node.measuring) status.set_reason("measures a model");
  return status;
}

wire::JobList Coordinator::job_list() const {
  std::vector<const Job*> oldest_first;
  for (const auto& [id, job] : jobs_) oldest_first.push_back(&job);
  std::ranges::sort(oldest_first, {},
                    [](const Job* job) { return job->assignment().plan().epoch(); });
  wire::JobList list;
  for (const Job* job : oldest_first) *list.add_jobs() = job->status();
  return list;
}

wire::NodeList Coordinator::node_list() const {
  wire::NodeList list;
  for (const auto& [name, node] : nodes_.all()) *list.add_nodes() = shown_status(node);
  return list;
}

void Coordinator::answer_node_queries() {
  const auto ready = static_cast<std::uint32_t>(nodes_.free_nodes().size());
  std::erase_if(node_queries_, [&](const NodeQuery& query) {
    if (ready < query.ready) return false;
    wire::Envelope answer;
    *answer.mutable_node_list() = node_list();
    reply(query.peer, query.request, std::move(answer));
    return true;
  });
}

}  // namespace longhaul::daemon
