// The CompNode's transitions: what coordinator, workers, ends of processes and the clock bring.
#include "daemon/node/node.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <set>
#include <utility>

namespace longhaul::daemon {

namespace {

// Echoes of heartbeats that may be missing before the node introduces itself anew.
constexpr int kMissedEchoes = 5;

std::string worker_name(const WorkerId& id) {
  return fmt::format("worker of {} stage {}", id.job_id, id.stage);
}

}  // namespace

Node::Node(Options options, Clock& clock, Uplink& uplink, WorkerHost& workers)
    : options_(std::move(options)),
      clock_(clock),
      uplink_(uplink),
      host_(workers),
      heartbeat_interval_(options_.hello_interval) {}

// ---- the coordinator ----------------------------------------------------------------------------

void Node::on_connection(bool connected, const std::string& reason) {
  registered_ = false;
  if (connected_ != connected || !connected) {
    log(connected ? "connected to the coordinator"
                  : fmt::format("no connection to the coordinator: {}; workers go on", reason));
  }
  connected_ = connected;
  if (connected) say_hello();
}

void Node::say_hello() {
  if (said_goodbye_) return;
  last_hello_ = clock_.now();
  wire::Envelope envelope;
  envelope.set_request(kHelloRequest);
  auto& hello = *envelope.mutable_node_hello();
  *hello.mutable_info() = options_.info;
  std::set<WorkerId> known = events_.workers();
  for (const auto& [id, worker] : workers_) {
    if (!worker.ended) known.insert(id);
  }
  for (const auto& id : known) set_worker_id(*hello.add_workers(), id);
  uplink_.send(envelope);
}

void Node::on_coordinator_message(const wire::Envelope& message) {
  last_heard_ = clock_.now();
  if (message.has_node_welcome()) {
    if (message.node_welcome().heartbeat_interval_ms() > 0) {
      heartbeat_interval_ = milliseconds(message.node_welcome().heartbeat_interval_ms());
    }
    if (!registered_) log("registered with the coordinator");
    registered_ = true;
    last_heartbeat_ = clock_.now();
    sent_ = 0;
    send_events();
  } else if (message.has_worker_event_stored()) {
    events_.acknowledge(message.request());
  } else if (message.has_start_worker()) {
    on_start(message.start_worker());
  } else if (message.has_worker_command()) {
    on_command(message.worker_command());
  } else if (message.has_failure()) {
    if (message.request() == kHelloRequest) {
      const auto error = proto::to_error(message.failure());
      if (error.kind == proto::ErrorKind::kConfiguration) refused_ = error;
      log(fmt::format("the coordinator refused this node: {}", error.message));
    } else if (registered_) {
      registered_ = false;  // it does not know us any more
      say_hello();
    }
  }
}

void Node::report(wire::WorkerEvent event) {
  const auto dropped = events_.dropped();
  events_.push(std::move(event));
  if (events_.dropped() != dropped) {
    log("too many reports wait for the coordinator: the oldest was dropped");
  }
  send_events();
}

void Node::send_events() {
  if (!registered_) return;
  for (const auto& item : events_.items()) {
    if (item.number <= sent_) continue;
    wire::Envelope envelope;
    envelope.set_request(item.number);
    *envelope.mutable_worker_event() = item.event;
    if (!uplink_.send(envelope)) return;  // on_tick tries again
    sent_ = item.number;
  }
}

void Node::report_failure(const WorkerId& id, wire::Failure failure) {
  wire::WorkerEvent event;
  set_worker_id(event, id);
  *event.mutable_failed() = std::move(failure);
  report(std::move(event));
}

// ---- workers ------------------------------------------------------------------------------------

void Node::on_start(const wire::StartWorker& start) {
  const auto& assignment = start.assignment();
  const WorkerId id{assignment.job_id(), assignment.plan().epoch(), assignment.stage()};
  if (assignment.stage() >= static_cast<std::uint32_t>(assignment.plan().stages_size())) {
    log(fmt::format("{}: no such stage in its plan, ignored", worker_name(id)));
    return;
  }
  // A repeated order; or it ran, and how it ended is on its way to the coordinator.
  if (workers_.contains(id) || events_.workers().contains(id)) return;
  if (stopping_) {
    wire::Failure failure;
    failure.set_kind(wire::Failure::LOST);
    failure.set_message("the node is about to stop: " + stop_reason_);
    report_failure(id, std::move(failure));
    return;
  }
  Worker& worker = workers_[id];
  worker.assignment = assignment;
  worker.assignment.set_bind_host(options_.bind_host);
  worker.assignment.set_advertise_host(options_.info.host());
  spawn_waiting();
}

bool Node::device_is_free(const std::string& device) const {
  return std::ranges::none_of(workers_, [&](const auto& entry) {
    return entry.second.spawned && entry.second.device() == device;
  });
}

// A worker that has reported its end may take a moment to give its memory back; its successor
// waits.
void Node::spawn_waiting() {
  std::vector<std::pair<WorkerId, proto::Error>> failed;
  for (auto& [id, worker] : workers_) {
    if (worker.spawned || !device_is_free(worker.device())) continue;
    if (auto spawned = host_.spawn(id, worker.stage()); !spawned) {
      failed.emplace_back(id, spawned.error());
      continue;
    }
    worker.spawned = true;
    log(fmt::format("started the {} on {}", worker_name(id), worker.device()));
  }
  for (const auto& [id, error] : failed) {
    workers_.erase(id);
    report_failure(id, proto::to_failure(error));
  }
}

void Node::on_command(const wire::WorkerCommand& command) {
  const WorkerId id = worker_id(command);
  const auto found = workers_.find(id);
  if (found == workers_.end()) return;  // it ended, which the coordinator is about to hear
  Worker& worker = found->second;
  if (command.has_stop()) {
    stop_worker(id, worker, "stopped as the coordinator asked");
    return;
  }
  if (!worker.connected || (command.has_begin() && std::exchange(worker.begun, true))) return;
  wire::Envelope envelope;
  *envelope.mutable_worker_command() = command;
  if (!host_.send(id, envelope)) {
    log(fmt::format("{}: does not take commands", worker_name(id)));
  }
}

void Node::stop_worker(const WorkerId& id, Worker& worker, const std::string& reason) {
  if (worker.stop_requested || worker.ended) return;
  worker.stop_requested = true;
  worker.stop_reason = reason;
  worker.kill_at = clock_.now() + options_.stop_deadline;
  if (!worker.spawned) {
    report_end(id, worker);
    remove_worker(id);
    return;
  }
  if (worker.exit) return;
  wire::Envelope envelope;
  set_worker_id(*envelope.mutable_worker_command(), id);
  envelope.mutable_worker_command()->mutable_stop();
  if (!worker.connected || !host_.send(id, envelope)) host_.signal(id, SIGTERM);
}

void Node::on_worker_message(const WorkerId& id, const wire::Envelope& message) {
  const auto found = workers_.find(id);
  if (found == workers_.end()) return;
  Worker& worker = found->second;
  if (message.has_worker_hello()) {
    if (worker_id(message.worker_hello()) != id || worker.connected) return;
    worker.connected = true;
    wire::Envelope envelope;
    if (worker.stop_requested) {
      set_worker_id(*envelope.mutable_worker_command(), id);
      envelope.mutable_worker_command()->mutable_stop();
    } else {
      *envelope.mutable_start_worker()->mutable_assignment() = worker.assignment;
    }
    host_.send(id, envelope);
  } else if (message.has_worker_event() && !worker.ended) {
    wire::WorkerEvent event = message.worker_event();
    set_worker_id(event, id);  // it speaks for itself only
    if (event.has_finished() || event.has_failed()) {
      worker.ended = true;
      worker.kill_at = clock_.now() + options_.stop_deadline;
    }
    // Nobody but its own node reports a worker first-hand.
    if (event.has_failed()) event.mutable_failed()->clear_first_hand();
    report(std::move(event));
    if (worker.ended && worker.exit) remove_worker(id);
  }
}

void Node::on_worker_exit(const WorkerId& id, ProcessExit exit,
                          const std::string& last_error_line) {
  const auto found = workers_.find(id);
  if (found == workers_.end()) return;
  Worker& worker = found->second;
  log(fmt::format("{}: {}", worker_name(id), describe(exit)));
  if (worker.ended) {
    remove_worker(id);
    return;
  }
  worker.exit = exit;
  worker.lost_at = clock_.now() + options_.last_words;
  worker.last_error_line = last_error_line;
  worker.kill_at.reset();
}

void Node::report_end(const WorkerId& id, const Worker& worker) {
  wire::Failure failure;
  failure.set_first_hand(true);
  if (worker.stop_requested) {
    failure.set_kind(wire::Failure::CANCELLED);
    failure.set_message(worker.stop_reason);
  } else {
    failure.set_kind(wire::Failure::LOST);
    failure.set_message(fmt::format("the worker {}", describe(worker.exit.value())));
    if (!worker.last_error_line.empty()) {
      failure.set_message(fmt::format("{}: {}", failure.message(), worker.last_error_line));
    }
  }
  report_failure(id, std::move(failure));
}

void Node::remove_worker(const WorkerId& id) {
  workers_.erase(id);
  spawn_waiting();
  if (stopping_) say_goodbye();
}

// ---- time and the end ---------------------------------------------------------------------------

void Node::on_tick(TimePoint now) {
  std::vector<WorkerId> lost;
  for (const auto& [id, worker] : workers_) {
    if (worker.exit && now >= worker.lost_at) lost.push_back(id);
  }
  for (const auto& id : lost) {
    report_end(id, workers_.at(id));
    remove_worker(id);
  }
  for (auto& [id, worker] : workers_) {
    if (!worker.kill_at || now < *worker.kill_at) continue;
    log(fmt::format("{}: still there after its deadline, killed", worker_name(id)));
    worker.kill_at.reset();
    host_.signal(id, SIGKILL);
  }
  if (!connected_ || said_goodbye_) return;
  if (registered_ && now - last_heard_ > heartbeat_interval_ * kMissedEchoes) registered_ = false;
  if (!registered_) {
    if (now - last_hello_ >= options_.hello_interval) say_hello();
    return;
  }
  send_events();
  if (now - last_heartbeat_ < heartbeat_interval_) return;
  last_heartbeat_ = now;
  wire::Envelope heartbeat;
  heartbeat.mutable_heartbeat();
  uplink_.send(heartbeat);
}

void Node::stop(const std::string& reason) {
  if (stopping_) return;
  stopping_ = true;
  stop_reason_ = reason;
  log(fmt::format("stopping: {}", reason));
  std::vector<WorkerId> running;
  for (const auto& [id, worker] : workers_) running.push_back(id);
  for (const auto& id : running) {
    if (const auto found = workers_.find(id); found != workers_.end()) {
      stop_worker(id, found->second, "the node was stopped: " + reason);
    }
  }
  say_goodbye();
}

void Node::kill_workers() {
  for (auto& [id, worker] : workers_) {
    if (worker.spawned && !worker.exit) host_.signal(id, SIGKILL);
  }
}

bool Node::stopped() const { return stopping_ && workers_.empty(); }

void Node::say_goodbye() {
  if (!stopped() || std::exchange(said_goodbye_, true) || !registered_) return;
  wire::Envelope goodbye;
  goodbye.mutable_node_goodbye()->set_reason(stop_reason_);
  uplink_.send(goodbye);
}

std::vector<std::string> Node::take_log() { return std::exchange(log_, {}); }

void Node::log(std::string line) { log_.push_back(std::move(line)); }

}  // namespace longhaul::daemon
