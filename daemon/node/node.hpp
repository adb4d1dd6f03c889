// The CompNode daemon's state machine: registration with the coordinator, workers, their events.
#pragma once

#include "daemon/host/child_process.hpp"
#include "daemon/host/clock.hpp"
#include "proto/failure.hpp"
#include "daemon/host/worker_id.hpp"
#include "daemon/node/event_queue.hpp"
#include "proto/control.pb.h"
#include "proto/error.hpp"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace longhaul::daemon {

class Uplink {
 public:
  virtual ~Uplink() = default;
  virtual bool send(const wire::Envelope& message) = 0;  // to the coordinator
};

// The processes that the node supervises.
class WorkerHost {
 public:
  virtual ~WorkerHost() = default;
  // Starts a worker; what it says and its end are told by Node::on_worker_message, on_worker_exit.
  // `stage` is what it will host, and on which device.
  [[nodiscard]] virtual proto::Result<void> spawn(const WorkerId& id, const wire::Stage& stage) = 0;
  virtual bool send(const WorkerId& id, const wire::Envelope& message) = 0;
  virtual void signal(const WorkerId& id, int number) = 0;
};

class Node {
 public:
  struct Options {
    wire::NodeInfo info;
    std::string bind_host = "127.0.0.1";  // where its workers listen for tensors
    milliseconds stop_deadline{10000};  // from the request to stop to SIGKILL
    milliseconds hello_interval{2000};  // between hellos while the coordinator does not answer
    // A process may be seen to end before its last words have come through its socket: it has this
    // long to have said finished or failed.
    milliseconds last_words{500};
  };

  Node(Options options, Clock& clock, Uplink& uplink, WorkerHost& workers);

  // Of the transport; `reason` says why there is none.
  void on_connection(bool connected, const std::string& reason);
  void on_coordinator_message(const wire::Envelope& message);
  void on_worker_message(const WorkerId& id, const wire::Envelope& message);
  // `last_error_line` is what the process said last on standard error; may be empty.
  void on_worker_exit(const WorkerId& id, ProcessExit exit, const std::string& last_error_line);
  void on_tick(TimePoint now);

  // Ends the workers, then says goodbye; `stopped` once none is left.
  void stop(const std::string& reason);
  void kill_workers();  // does not wait for the deadline
  [[nodiscard]] bool stopped() const;
  // Set when the coordinator will never accept this node: the daemon should end with it.
  [[nodiscard]] const std::optional<proto::Error>& refused() const { return refused_; }

  // Whether anything may still come of the worker: its process, its messages, its end.
  [[nodiscard]] bool supervises(const WorkerId& id) const { return workers_.contains(id); }

  // What happened since the last call, a line each, for the program to log.
  [[nodiscard]] std::vector<std::string> take_log();

 private:
  struct Worker {
    wire::Assignment assignment;
    bool spawned = false;    // else it waits for its device's former worker to exit
    bool connected = false;  // it said hello and got its assignment
    bool begun = false;
    bool ended = false;  // it reported finished or failed
    bool stop_requested = false;
    std::string stop_reason;
    std::optional<TimePoint> kill_at;
    std::optional<ProcessExit> exit;  // its process is gone; `lost_at` decides whether it is lost
    TimePoint lost_at;
    std::string last_error_line;

    [[nodiscard]] const wire::Stage& stage() const {
      return assignment.plan().stages(static_cast<int>(assignment.stage()));
    }
    [[nodiscard]] const std::string& device() const { return stage().device(); }
  };
  // Events carry their number, from 1, as request; hello must differ from them.
  static constexpr std::uint64_t kHelloRequest = ~std::uint64_t{0};

  void on_start(const wire::StartWorker& start);
  void on_command(const wire::WorkerCommand& command);
  void spawn_waiting();
  [[nodiscard]] bool device_is_free(const std::string& device) const;
  void stop_worker(const WorkerId& id, Worker& worker, const std::string& reason);
  void remove_worker(const WorkerId& id);
  void report_end(const WorkerId& id, const Worker& worker);
  void report(wire::WorkerEvent event);
  void report_failure(const WorkerId& id, wire::Failure failure);
  void say_hello();
  void send_events();
  void say_goodbye();
  void log(std::string line);

  Options options_;
  Clock& clock_;
  Uplink& uplink_;
  WorkerHost& host_;
  bool connected_ = false;
  bool registered_ = false;
  bool stopping_ = false;
  bool said_goodbye_ = false;
  std::string stop_reason_;
  milliseconds heartbeat_interval_;
  TimePoint last_hello_;
  TimePoint last_heartbeat_;
  TimePoint last_heard_;  // of the coordinator
  std::map<WorkerId, Worker> workers_;
  EventQueue events_;
  std::uint64_t sent_ = 0;  // the last event sent since the last welcome
  std::optional<proto::Error> refused_;
  std::vector<std::string> log_;
};

}  // namespace longhaul::daemon
