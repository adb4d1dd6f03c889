// A fleet as a file: for planning and simulating what need not exist.
#pragma once

#include "daemon/configuration/diagnostic.hpp"
#include "scheduler/device_profile.hpp"
#include "scheduler/fleet.hpp"

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace longhaul::daemon {

// How fast a kind of device is where no profile says so.
struct KindConfiguration {
  std::string name;
  std::filesystem::path profile;  // empty: by the rates below
  double tflops = 0.0;            // peak, 10^12 per second
  double efficiency = 0.4;        // of the peak, that training reaches
  double memory_gb_per_s = 0.0;   // 10^9 bytes per second; 0: not a bound
};

struct FleetDeviceConfiguration {
  std::string name;  // "cpu" or "cuda:N"; with `count`, the first of cuda:N, cuda:N+1, ...
  std::uint32_t count = 1;
  std::string kind;
  std::uint32_t threads = 1;
  double speed = 1.0;
  double memory_gb = 0.0;
  double price_per_hour = 0.0;
};

struct FleetHostConfiguration {
  std::string name;  // with `count` above 1: NAME-1, NAME-2, ...
  std::uint32_t count = 1;
  std::string machine;  // hosts of one machine share its processors; empty: a machine of its own
  double processors = 0.0;  // of its machine; 0: computation does not share them
  bool has_data = true;
  std::vector<FleetDeviceConfiguration> devices;
};

struct FleetSiteConfiguration {
  std::string name;
  double egress_price_per_gb = 0.0;
  double egress_gb_per_hour = 0.0;  // at most; 0: no cap
  std::vector<FleetHostConfiguration> hosts;
};

struct FleetPathConfiguration {
  double delay_ms = 0.0;
  double bandwidth_mbps = 0.0;  // 0: unlimited
};

struct FleetConfiguration {
  std::filesystem::path network;  // as longhaul-wan reads it; empty: every path within_site
  double bandwidth_scale = 1.0;
  double delay_scale = 1.0;
  FleetPathConfiguration within_site;
  FleetPathConfiguration within_host;
  std::vector<KindConfiguration> kinds;
  std::vector<FleetSiteConfiguration> sites;
};

// The device `offset` places after the first: "cuda:2" and 3 give "cuda:5"; "cpu" stays.
[[nodiscard]] std::string fleet_device_name(const std::string& first, std::uint32_t offset);

[[nodiscard]] Checked<FleetConfiguration> load_fleet_configuration(
    const std::filesystem::path& file);

}  // namespace longhaul::daemon
