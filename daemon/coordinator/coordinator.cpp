// Dispatches messages to nodes' and jobs' state, stores what changed, then sends what follows.
#include "daemon/coordinator/coordinator.hpp"

#include "proto/failure.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace longhaul::daemon {

namespace {

// Heartbeats that may be missing before a node counts as lost. Derived from the interval alone;
// arrivals are not measured yet.
constexpr int kMissedHeartbeats = 5;
// A node whose connection ended may have said why: this long its last words have to be read.
constexpr milliseconds kLastWords{100};

}  // namespace

Coordinator::Coordinator(Options options, Clock& clock, Network& network, Store& store,
                         StoredState state)
    : options_(std::move(options)),
      clock_(clock),
      network_(network),
      store_(store),
      epoch_(state.epoch),
      last_tick_(clock.now()) {
  nodes_.restore(state.nodes, clock_.now());
  for (auto& stored : state.jobs) {
    const std::string id = stored.assignment.job_id();
    jobs_.emplace(id, Job(std::move(stored), clock_));
  }
}

void Coordinator::on_message(const proto::ControlPeer& from, wire::Envelope message) {
  const auto node = options_.access.nodes.find(from.public_key);
  if (node != options_.access.nodes.end()) {
    on_node_message(from, node->second, std::move(message));
  } else if (options_.access.operators.contains(from.public_key)) {
    on_operator_message(from, std::move(message));
  }
  flush();
}

void Coordinator::on_tick(TimePoint now) {
  // A coordinator that stood still (suspended, swapped out) has heard nobody: that is not the
  // nodes' fault, and what they said meanwhile is still to be read.
  const auto pause = now - last_tick_;
  if (pause > options_.heartbeat_interval) nodes_.forgive(pause);
  last_tick_ = now;

  const auto allowed = options_.heartbeat_interval * kMissedHeartbeats;
  for (const auto& name : nodes_.silent_since(now - allowed)) {
    lose_node(name, fmt::format("no heartbeat for {:.0f} s",
                                std::chrono::duration<double>(allowed).count()));
  }
  for (const auto& name : nodes_.cut_off_since(now - kLastWords)) {
    lose_node(name, "its connection was lost");
  }
  const auto heard_since = [this](const std::string& name, TimePoint since) {
    const Node* node = nodes_.find(name);
    return node != nullptr && node->present && node->last_heard > since;
  };
  for (auto& [id, job] : jobs_) {
    if (job.suspected()) probe(job);
    take(job, job.on_tick(now, options_.failure_grace, heard_since));
  }
  expire_measurements(now);
  advance_submissions();
  flush();
}

// ---- nodes --------------------------------------------------------------------------------------

void Coordinator::on_node_message(const proto::ControlPeer& from, const std::string& name,
                                  wire::Envelope message) {
  if (message.has_node_hello()) {
    on_hello(from, name, message);
    return;
  }
  Node* node = nodes_.find(name);
  if (node == nullptr || !node->present || !(node->peer == from)) {
    // It takes itself for registered: the coordinator restarted, or gave it up meanwhile.
    if (!message.has_node_goodbye()) {
      refuse(from, message.request(), {proto::ErrorKind::kLost, "not registered: say hello first"});
    }
    return;
  }
  node->last_heard = clock_.now();
  if (message.has_heartbeat()) {
    wire::Envelope echo;
    echo.mutable_heartbeat();
    reply(from, message.request(), std::move(echo));
  } else if (message.has_worker_event()) {
    on_worker_event(name, message.worker_event());
    wire::Envelope stored;
    stored.mutable_worker_event_stored();
    reply(from, message.request(), std::move(stored));
  } else if (message.has_profile_measured()) {
    on_profile(name, message.profile_measured());
  } else if (message.has_node_goodbye()) {
    const auto& reason = message.node_goodbye().reason();
    lose_node(name, reason.empty() ? "it said goodbye" : reason);
  }
}

void Coordinator::on_hello(const proto::ControlPeer& from, const std::string& name,
                           const wire::Envelope& message) {
  const auto& hello = message.node_hello();
  if (hello.info().name() != name) {
    refuse(from, message.request(),
           proto::configuration_error(fmt::format(
               "this key belongs to node {}, not to {}: set `name` in the node's configuration, or "
               "the key in the coordinator's",
               proto::quoted(name), proto::quoted(hello.info().name()))));
    return;
  }
  if (auto checked = check_node_info(hello.info()); !checked) {
    refuse(from, message.request(), checked.error());
    return;
  }
  Node& node = nodes_.add(name);
  if (!node.present) node.since_unix_ms = clock_.unix_ms();
  node.info = hello.info();
  node.present = true;
  node.awaited = false;
  node.reason.clear();
  node.last_heard = clock_.now();
  node.cut_off_since.reset();
  node.peer = from;
  node.workers.clear();
  for (const auto& worker : hello.workers()) node.workers.insert(worker_id(worker));

  wire::Envelope welcome;
  welcome.mutable_node_welcome()->set_heartbeat_interval_ms(
      static_cast<std::uint64_t>(options_.heartbeat_interval.count()));
  reply(from, message.request(), std::move(welcome));
  reconcile(name, node);
  transition_.nodes.push_back(node_status(node));
  answer_node_queries();
  drop_measurements(name);  // the order may have been lost
  advance_submissions();
}

// Compares what the node runs with what the jobs believe that it runs.
void Coordinator::reconcile(const std::string& name, const Node& node) {
  for (const auto& worker : node.workers) {
    const Job* job = find_job(worker.job_id);
    if (job != nullptr && job->hosts(name, worker)) continue;
    wire::Envelope stop;
    set_worker_id(*stop.mutable_worker_command(), worker);
    stop.mutable_worker_command()->mutable_stop();
    to_node(name, std::move(stop));
  }
  for (auto& [id, job] : jobs_) {
    for (const auto& worker : job.expected_on(name)) {
      take(job, job.on_node_back(worker.stage, node.workers.contains(worker)));
    }
  }
}

void Coordinator::on_worker_event(const std::string& name, const wire::WorkerEvent& event) {
  const WorkerId id = worker_id(event);
  Job* job = find_job(id.job_id);
  if (job != nullptr && job->hosts(name, id)) take(*job, job->on_worker_event(event));
  if (event.has_finished() || event.has_failed()) {
    if (Node* node = nodes_.find(name); node->workers.erase(id) > 0) answer_node_queries();
  }
}

void Coordinator::lose_node(const std::string& name, const std::string& reason) {
  Node* node = nodes_.find(name);
  if (node == nullptr || !(node->present || node->awaited)) return;
  node->present = node->awaited = false;
  node->reason = reason;
  node->since_unix_ms = clock_.unix_ms();
  node->workers.clear();
  drop_measurements(name);
  transition_.nodes.push_back(node_status(*node));
  for (auto& [id, job] : jobs_) {
    for (const auto& worker : job.expected_on(name)) {
      take(job, job.on_worker_lost(worker.stage, fmt::format("the node is gone: {}", reason)));
    }
  }
}

Job* Coordinator::find_job(const std::string& job_id) {
  const auto found = jobs_.find(job_id);
  return found == jobs_.end() ? nullptr : &found->second;
}

// ---- storing and sending ------------------------------------------------------------------------

void Coordinator::reply(const proto::ControlPeer& to, std::uint64_t request,
                        wire::Envelope message) {
  message.set_request(request);
  outgoing_.push_back({to, std::move(message)});
}

void Coordinator::refuse(const proto::ControlPeer& to, std::uint64_t request,
                         const proto::Error& error) {
  wire::Envelope message;
  *message.mutable_failure() = proto::to_failure(error);
  reply(to, request, std::move(message));
}

void Coordinator::to_node(const std::string& name, wire::Envelope message) {
  const Node* node = nodes_.find(name);
  // A node that is not there learns what it needs to know when it says hello.
  if (node == nullptr || !node->present) return;
  outgoing_.push_back({node->peer, std::move(message)});
}

// A message that a dead node's connection refuses tells of its death long before its silence does.
void Coordinator::probe(const Job& job) {
  for (const auto& name : job.running_nodes()) {
    wire::Envelope probe;
    probe.mutable_heartbeat();
    to_node(name, std::move(probe));
  }
}

void Coordinator::take(Job& job, JobEffects effects) {
  for (auto& [node, message] : effects.to_nodes) {
    if (message.has_start_worker()) {
      const auto& assignment = message.start_worker().assignment();
      if (Node* host = nodes_.find(node)) {
        host->workers.insert({job.id(), assignment.plan().epoch(), assignment.stage()});
      }
    }
    to_node(node, std::move(message));
  }
  for (auto& event : effects.events) transition_.events.emplace_back(job.id(), std::move(event));
  if (effects.changed) {
    std::erase_if(transition_.jobs, [&](const auto& entry) { return entry.first == job.id(); });
    transition_.jobs.emplace_back(job.id(), job.record());
  }
  transition_.durable = transition_.durable || effects.durable;
}

void Coordinator::forget_old_jobs() {
  std::vector<std::pair<std::uint64_t, std::string>> ended;  // by epoch: oldest first
  for (const auto& [id, job] : jobs_) {
    if (job.ended()) ended.emplace_back(job.assignment().plan().epoch(), id);
  }
  if (ended.size() <= options_.kept_jobs) return;
  std::ranges::sort(ended);
  ended.resize(ended.size() - options_.kept_jobs);
  for (const auto& [epoch, id] : ended) {
    jobs_.erase(id);
    transition_.forgotten_jobs.push_back(id);
  }
}

void Coordinator::flush() {
  while (!transition_.empty() || !outgoing_.empty()) {
    const Transition stored = std::exchange(transition_, {});
    if (!stored.empty()) {
      if (auto committed = store_.commit(stored); !committed) {
        throw proto::Failed(committed.error());
      }
      feed_watchers(stored.events);
    }
    const auto sending = std::exchange(outgoing_, {});
    for (const auto& [to, message] : sending) {
      if (network_.send(to, message)) continue;
      std::erase_if(watchers_, [&](const Watcher& watcher) { return watcher.peer == to; });
      const auto name = options_.access.nodes.find(to.public_key);
      if (name == options_.access.nodes.end()) continue;
      Node* node = nodes_.find(name->second);
      if (node != nullptr && node->present && node->peer == to && !node->cut_off_since) {
        node->cut_off_since = clock_.now();
      }
    }
  }
}

void Coordinator::feed_watchers(
    const std::vector<std::pair<std::string, wire::JobEvent>>& events) {
  for (const auto& [job_id, event] : events) {
    for (const auto& watcher : watchers_) {
      if (watcher.job_id != job_id) continue;
      wire::Envelope envelope;
      *envelope.mutable_job_event() = event;
      reply(watcher.peer, watcher.request, std::move(envelope));
    }
  }
  std::erase_if(watchers_, [&](const Watcher& watcher) {
    const Job* job = find_job(watcher.job_id);
    return job == nullptr || job->ended();
  });
}

}  // namespace longhaul::daemon
