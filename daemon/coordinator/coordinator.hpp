// The coordinator's state machine: membership, plans, jobs. It sees clock, network and store only
// through interfaces, has no thread and no timer, and may be replayed on virtual time.
#pragma once

#include "daemon/coordinator/job.hpp"
#include "daemon/coordinator/node_table.hpp"
#include "daemon/coordinator/world.hpp"
#include "daemon/planning/registered_fleet.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <vector>

namespace longhaul::daemon {

// Who may do what, by the public key that CURVE proved (Z85).
struct AccessList {
  std::map<std::string, std::string> nodes;  // key -> the name that the node must give
  std::set<std::string> operators;

  [[nodiscard]] bool allows(const std::string& key) const {
    return nodes.contains(key) || operators.contains(key);
  }
};

class Coordinator {
 public:
  struct Options {
    AccessList access;
    milliseconds heartbeat_interval{2000};
    // A LOST or INTERNAL failure waits this long for the failure that it follows from.
    milliseconds failure_grace{2000};
    std::size_t kept_jobs = 200;  // older ones that have ended are forgotten
    // A submission waits so long for profiles, and is then planned without.
    milliseconds profile_patience{300'000};
    double planning_s = 2.0;  // that the planner `auto` may search
  };

  // `state` is what the store holds. Jobs that were running go on: their nodes have the usual
  // deadline to register again.
  Coordinator(Options options, Clock& clock, Network& network, Store& store, StoredState state);

  // Messages of a peer in the order in which it sent them. Throws proto::Failed if the store does
  // not take what changed: the process must end then, and start again from the store.
  void on_message(const proto::ControlPeer& from, wire::Envelope message);

  // To be called several times per heartbeat interval. Throws like on_message.
  void on_tick(TimePoint now);

 private:
  struct Watcher {
    proto::ControlPeer peer;
    std::uint64_t request = 0;
    std::string job_id;
  };
  struct NodeQuery {  // a ListNodes that waits for nodes
    proto::ControlPeer peer;
    std::uint64_t request = 0;
    std::uint32_t ready = 0;
  };
  struct Waiting {  // a submission whose planner wants profiles
    proto::ControlPeer peer;
    std::uint64_t request = 0;
    wire::SubmitJob submit;
    std::string model;  // names it in keys of profiles
    TimePoint deadline;
    std::map<std::string, std::string> unprofiled;  // kind of device, why
  };
  struct Measurement {
    std::string node;
    std::string kind;
    std::string place;  // where nothing else may be measured meanwhile
    TimePoint deadline;
  };
  struct Outgoing {
    proto::ControlPeer to;
    wire::Envelope message;
  };

  void on_node_message(const proto::ControlPeer& from, const std::string& name,
                       wire::Envelope message);
  void on_operator_message(const proto::ControlPeer& from, wire::Envelope message);
  void on_hello(const proto::ControlPeer& from, const std::string& name,
                const wire::Envelope& message);
  void reconcile(const std::string& name, const Node& node);
  void on_worker_event(const std::string& name, const wire::WorkerEvent& event);
  void on_submit(const proto::ControlPeer& from, std::uint64_t request,
                 const wire::SubmitJob& submit);
  void plan_and_start(const Waiting& submission);
  void advance_submissions();
  [[nodiscard]] bool profiled(Waiting& submission);
  void order_profile(const Waiting& submission, const std::string& kind, Node& node,
                     const wire::Device& device);
  void on_profile(const std::string& name, const wire::ProfileMeasured& measured);
  void end_measurement(const std::string& key, const std::string& why);
  void drop_measurements(const std::string& name);
  void expire_measurements(TimePoint now);
  [[nodiscard]] FleetKnowledge knowledge_for(const Waiting& submission) const;
  void on_show_job(const proto::ControlPeer& from, std::uint64_t request,
                   const std::string& job_id);
  void on_show_node(const proto::ControlPeer& from, std::uint64_t request, const std::string& name);
  void on_watch(const proto::ControlPeer& from, std::uint64_t request, const wire::WatchJob& watch);
  void on_cancel(const proto::ControlPeer& from, std::uint64_t request, const std::string& job_id);
  void on_export(const proto::ControlPeer& from, std::uint64_t request, const wire::ExportJob& ask);
  void lose_node(const std::string& name, const std::string& reason);

  [[nodiscard]] Job* find_job(const std::string& job_id);
  [[nodiscard]] wire::NodeStatus node_status(const Node& node) const;   // as stored
  [[nodiscard]] wire::NodeStatus shown_status(const Node& node) const;  // as told to operators
  [[nodiscard]] wire::JobList job_list() const;
  [[nodiscard]] wire::NodeList node_list() const;

  void reply(const proto::ControlPeer& to, std::uint64_t request, wire::Envelope message);
  void refuse(const proto::ControlPeer& to, std::uint64_t request, const proto::Error& error);
  void to_node(const std::string& name, wire::Envelope message);
  void probe(const Job& job);
  void take(Job& job, JobEffects effects);
  void forget_old_jobs();
  void flush();  // commit, then send; notes which nodes cannot be reached, and so on
  void answer_node_queries();
  void feed_watchers(const std::vector<std::pair<std::string, wire::JobEvent>>& events);

  Options options_;
  Clock& clock_;
  Network& network_;
  Store& store_;
  std::uint64_t epoch_ = 0;
  NodeTable nodes_;
  std::map<std::string, Job> jobs_;
  std::vector<Watcher> watchers_;
  std::vector<NodeQuery> node_queries_;
  std::deque<Waiting> waiting_;  // in the order of their arrival
  // By kind of device and model: what nodes have measured, and what they are measuring.
  std::map<std::string, scheduler::DeviceProfile> profiles_;
  std::map<std::string, Measurement> measurements_;
  TimePoint last_tick_;
  Transition transition_;          // of the message or tick that is being handled
  std::deque<Outgoing> outgoing_;  // what to send once that is stored
};

}  // namespace longhaul::daemon
