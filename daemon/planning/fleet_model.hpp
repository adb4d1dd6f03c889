// From a fleet file to the fleet that planners see, and how fast its devices are.
#pragma once

#include "daemon/configuration/fleet_file.hpp"
#include "proto/error.hpp"
#include "proto/graph.hpp"
#include "scheduler/device_profile.hpp"
#include "scheduler/fleet.hpp"
#include "scheduler/memory_estimate.hpp"
#include "scheduler/workload.hpp"

#include <map>
#include <string>
#include <vector>

namespace longhaul::daemon {

struct FleetModel {
  scheduler::Fleet fleet;
  std::vector<KindConfiguration> kinds;                      // that devices name
  std::map<std::string, scheduler::DeviceProfile> profiles;  // by kind, where there is one
  // What a path of one megabit per second carries, the fleet's bandwidth_scale included.
  double bytes_per_s_of_mbps = 0.0;
};

// Reads the network's file and the profiles. kConfiguration: every error of these files on a line
// of its own.
[[nodiscard]] proto::Result<FleetModel> model_of(const FleetConfiguration& configuration);

// What the profiles of cpu devices say of their hosts: processors, how they slow each other down,
// what carrying bytes takes. kConfiguration where a profile is of another number of threads.
[[nodiscard]] proto::Result<void> take_host_figures(FleetModel& model);

// The model at one micro-batch size, with times of every kind: from its profile, or by rates.
// kConfiguration where a profile lacks an operator or is of another precision.
[[nodiscard]] proto::Result<scheduler::Workload> workload_of(const proto::Graph& graph,
                                                             const proto::ShapeBinding& binding,
                                                             const scheduler::MemoryOptions& memory,
                                                             const FleetModel& model);

}  // namespace longhaul::daemon
