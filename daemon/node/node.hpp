// The CompNode daemon's state machine: registration with the coordinator, workers, their events.
#pragma once

#include "daemon/host/child_process.hpp"
#include "daemon/host/clock.hpp"
#include "daemon/host/worker_id.hpp"
#include "daemon/node/event_queue.hpp"
#include "proto/control.pb.h"
#include "proto/error.hpp"

#include <cstdint>
#include <list>
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
  [[nodiscard]] virtual proto::Result<void> spawn(const WorkerId& id) = 0;
  virtual bool send(const WorkerId& id, const wire::Envelope& message) = 0;
  virtual void signal(const WorkerId& id, int number) = 0;
};

class Node {
 public:
  struct Options {
    wire::NodeInfo info;
    milliseconds stop_deadline{10000};  // from the request to stop to SIGKILL
    milliseconds hello_interval{2000};  // between hellos while the coordinator does not answer
  };

  Node(Options options, Clock& clock, Uplink& uplink, WorkerHost& workers);

  void on_connection(bool connected);
  void on_coordinator_message(const wire::Envelope& message);
  void on_worker_message(const WorkerId& id, const wire::Envelope& message);
  // `last_error_line` is what the process said last on standard error; may be empty.
  void on_worker_exit(const WorkerId& id, ProcessExit exit, const std::string& last_error_line);
  void on_tick(TimePoint now);

  // Ends the workers, then says goodbye; `stopped` once none is left.
  void stop(const std::string& reason);
  [[nodiscard]] bool stopped() const;
  // Set when the coordinator will never accept this node: the daemon should end with it.
  [[nodiscard]] const std::optional<proto::Error>& refused() const { return refused_; }

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
  };

  void on_start(const wire::StartWorker& start);
  void on_command(const wire::WorkerCommand& command);
  void spawn_waiting();
  [[nodiscard]] bool device_is_free(const std::string& device) const;
  void stop_worker(const WorkerId& id, Worker& worker, const std::string& reason);
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
  std::optional<proto::Error> refused_;
  std::vector<std::string> log_;
};

}  // namespace longhaul::daemon
