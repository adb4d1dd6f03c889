// The nodes that are registered, as planners see a fleet: profiles by kind, paths as measured.
#pragma once

#include "daemon/planning/fleet_model.hpp"
#include "proto/control.pb.h"
#include "proto/error.hpp"
#include "scheduler/device_profile.hpp"

#include <functional>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace longhaul::daemon {

// What an earlier job's traffic showed of the way from one node to another.
struct MeasuredPath {
  std::string from_site;
  std::string to_site;
  double bytes_per_s = 0.0;
  bool at_least = false;  // the traffic never filled the path
  double round_trip_s = 0.0;
};

struct FleetKnowledge {
  std::map<std::string, scheduler::DeviceProfile> profiles;                // of the model, by kind
  std::map<std::pair<std::string, std::string>, MeasuredPath> paths = {};  // by nodes: from, to
  // Why there is no profile of a kind.
  std::map<std::string, std::string> unprofiled = {};
};

// The device of a node that a stage would run on: its first cuda device, else its first.
[[nodiscard]] const wire::Device& computing_device(const wire::NodeInfo& node);

// Devices of one kind are equally fast: description and, of a cpu, threads. A share of a cpu's time
// is no kind of its own: planners take the times of all of it, over the share.
[[nodiscard]] std::string kind_of(const wire::Device& device);

struct RegisteredFleet {
  FleetModel model;
  std::vector<std::string> assumptions;  // a line each, for the job's log
};

// One device of each node. A path between two nodes is as measured; else as the fastest measured
// between their sites; else assumed: within a machine nothing but 0.05 ms, within a site 1 Gbit/s
// and 0.2 ms, between sites 100 Mbit/s and 20 ms one way. kConfiguration if a kind has no profile.
[[nodiscard]] proto::Result<RegisteredFleet> registered_fleet(
    std::span<const wire::NodeInfo> nodes, const FleetKnowledge& knowledge,
    const std::function<bool(const std::string& node)>& has_data);

}  // namespace longhaul::daemon
