// What there is to run on: devices at hosts at sites, and the network between them.
#pragma once

#include "proto/error.hpp"
#include "scheduler/simulator/pipeline_work.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace longhaul::scheduler {

struct Site {
  std::string name;
  double egress_price_per_byte = 0.0;
  // What may leave the site per hour at most, averaged over a run; infinite: no cap.
  double egress_bytes_per_hour = std::numeric_limits<double>::infinity();
};

struct Host {
  std::string name;
  std::size_t site = 0;
  // That its cpu devices share; infinite where computation does not compete for them.
  double processors = std::numeric_limits<double>::infinity();
  // Hosts with the same name here share one machine's processors; empty: it is a machine alone.
  std::string machine = {};
  // [n]: what n + 1 busy processors get done, in those of one alone. Empty: n + 1.
  std::vector<double> busy_speed = {};
  // Of one processor, for each byte that a cpu device sends or receives.
  double carry_s_per_byte = 0.0;
};

struct FleetDevice {
  std::string node;    // the CompNode
  std::string device;  // "cpu" or "cuda:N"
  std::size_t host = 0;
  std::string kind;                // names its times in a Workload
  std::uint32_t threads = 1;       // of a cpu device
  double speed = 1.0;              // share of the kind's speed that it may use
  std::uint64_t memory_bytes = 0;  // that a stage may use
  double peak_flops_per_s = 0.0;   // for MFU; 0: not known
  double price_per_hour = 0.0;
  bool has_data = false;
};

// A message of m bytes alone takes delay_s + per_message_s + m / bytes_per_s; several at a time
// share the rate.
struct FleetPath {
  double delay_s = 0.0;
  double bytes_per_s = std::numeric_limits<double>::infinity();
  double per_message_s = 0.0;
  // Ascending, from the beginning of a step: factors on the rate. None is above 1, so that
  // bytes_per_s stays the most that it carries.
  std::vector<RateChange> changes = {};
};

struct Fleet {
  std::vector<Site> sites;
  std::vector<Host> hosts;
  std::vector<FleetDevice> devices;
  FleetPath within_host;
  std::vector<FleetPath> between_sites;  // from * sites.size() + to; its diagonal: within a site
  // Measured between two hosts (from, to): instead of the sites'.
  std::map<std::pair<std::size_t, std::size_t>, FleetPath> between_hosts;

  [[nodiscard]] std::size_t site_of(std::size_t device) const {
    return hosts[devices[device].host].site;
  }
  [[nodiscard]] const FleetPath& path(std::size_t from_device, std::size_t to_device) const;
  // Messages between devices with the same number share a path: a pair of hosts that was measured
  // or lies within a site, or else a pair of sites. Within a host every pair of devices has its
  // own.
  [[nodiscard]] std::uint64_t shared_path(std::size_t from_device, std::size_t to_device) const;
};

// kConfiguration names what is wrong: indices, numbers that are negative or not finite, names that
// occur twice, a site without hosts, no device.
[[nodiscard]] proto::Result<void> check_fleet(const Fleet& fleet);

}  // namespace longhaul::scheduler
