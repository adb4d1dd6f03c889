// The coordinator's doors to the outside: a network to send on and a store to remember in.
#pragma once

#include "daemon/host/clock.hpp"
#include "proto/channel/control_channel.hpp"
#include "proto/control.pb.h"
#include "proto/error.hpp"
#include "proto/record.pb.h"

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace longhaul::daemon {

class Network {
 public:
  virtual ~Network() = default;
  // False if the peer is known to be gone, or takes nothing any more.
  virtual bool send(const proto::ControlPeer& to, const wire::Envelope& message) = 0;
};

// A job as it was submitted and planned (Assignment, of stage 0), and how far it has come.
struct StoredJob {
  wire::Assignment assignment;
  wire::JobRecord record;
};

struct StoredState {
  std::uint64_t epoch = 0;  // the highest that was ever given to a plan
  std::vector<StoredJob> jobs;
  std::vector<wire::NodeStatus> nodes;
};

// What one message or tick changed; written as one transaction.
struct Transition {
  std::optional<std::uint64_t> epoch;
  std::vector<wire::Assignment> new_jobs;
  std::vector<std::pair<std::string, wire::JobRecord>> jobs;  // by job id
  std::vector<std::pair<std::string, wire::JobEvent>> events;
  std::vector<wire::NodeStatus> nodes;
  std::vector<std::string> forgotten_jobs;
  bool durable = false;  // must survive a power cut, not only the end of this process

  [[nodiscard]] bool empty() const {
    return !epoch && new_jobs.empty() && jobs.empty() && events.empty() && nodes.empty() &&
           forgotten_jobs.empty();
  }
};

inline constexpr std::uint64_t kKeptEventsPerJob = 8192;

class Store {
 public:
  virtual ~Store() = default;
  // All or nothing. Of a job's events at least the last kKeptEventsPerJob are kept.
  [[nodiscard]] virtual proto::Result<void> commit(const Transition& transition) = 0;
  // The job's kept events with an index of at least `from`, ascending, at most kKeptEventsPerJob.
  [[nodiscard]] virtual proto::Result<std::vector<wire::JobEvent>> events(
      const std::string& job_id, std::uint64_t from) = 0;
};

}  // namespace longhaul::daemon
