// Hosts and devices one by one; paths from the network's file where it has them.
#include "daemon/planning/fleet_model.hpp"

#include "daemon/configuration/profile_file.hpp"
#include "daemon/wan/network_file.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <limits>
#include <string_view>

namespace longhaul::daemon {
namespace {

using scheduler::Fleet;
using scheduler::FleetDevice;
using scheduler::FleetPath;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kGiga = 1e9;

FleetPath path_of(const FleetPathConfiguration& configuration) {
  FleetPath path;
  path.delay_s = configuration.delay_ms * 1e-3;
  if (configuration.bandwidth_mbps > 0.0) path.bytes_per_s = configuration.bandwidth_mbps / 8e-6;
  return path;
}

FleetPath path_of(const PathConditions& conditions, const FleetConfiguration& configuration) {
  FleetPath path;
  path.delay_s =
      configuration.delay_scale * std::chrono::duration<double>(conditions.delay).count();
  path.bytes_per_s = configuration.bandwidth_scale * conditions.rate_bits_per_s / 8.0;
  return path;
}

// "cuda:2" and 3: "cuda:5".
std::string device_name(const std::string& first, std::uint32_t offset) {
  constexpr std::string_view kCuda = "cuda:";
  if (!first.starts_with(kCuda)) return first;
  std::uint32_t number = 0;
  std::from_chars(first.data() + kCuda.size(), first.data() + first.size(), number);
  return fmt::format("{}{}", kCuda, number + offset);
}

const KindConfiguration& kind_named(const FleetConfiguration& configuration,
                                    const std::string& name) {
  for (const KindConfiguration& kind : configuration.kinds) {
    if (kind.name == name) return kind;
  }
  return configuration.kinds.front();  // the file's check has refused other names
}

class Builder {
 public:
  explicit Builder(const FleetConfiguration& configuration) : configuration_(configuration) {}

  Fleet build() {
    for (const FleetSiteConfiguration& site : configuration_.sites) {
      fleet_.sites.push_back({.name = site.name,
                              .egress_price_per_byte = site.egress_price_per_gb / kGiga,
                              .egress_bytes_per_hour = site.egress_gb_per_hour > 0.0
                                                           ? site.egress_gb_per_hour * kGiga
                                                           : kInfinity});
      for (const FleetHostConfiguration& host : site.hosts) add(host);
    }
    fleet_.within_host = path_of(configuration_.within_host);
    return std::move(fleet_);
  }

 private:
  void add(const FleetHostConfiguration& hosts) {
    for (std::uint32_t i = 0; i < hosts.count; ++i) {
      const std::string name =
          hosts.count == 1 ? hosts.name : fmt::format("{}-{}", hosts.name, i + 1);
      scheduler::Host host;
      host.name = name;
      host.site = fleet_.sites.size() - 1;
      host.machine = hosts.machine;
      if (hosts.processors > 0.0) host.processors = hosts.processors;
      fleet_.hosts.push_back(std::move(host));
      for (const FleetDeviceConfiguration& device : hosts.devices) add(device, hosts, name);
    }
  }

  void add(const FleetDeviceConfiguration& devices, const FleetHostConfiguration& host,
           const std::string& node) {
    for (std::uint32_t i = 0; i < devices.count; ++i) {
      FleetDevice device;
      device.node = node;
      device.device = device_name(devices.name, i);
      device.host = fleet_.hosts.size() - 1;
      device.kind = devices.kind;
      device.threads = devices.threads;
      device.speed = devices.speed;
      device.memory_bytes = static_cast<std::uint64_t>(devices.memory_gb * kGiga);
      device.peak_flops_per_s = kind_named(configuration_, devices.kind).tflops * 1e12;
      device.price_per_hour = devices.price_per_hour;
      device.has_data = host.has_data;
      fleet_.devices.push_back(std::move(device));
    }
  }

  const FleetConfiguration& configuration_;
  Fleet fleet_;
};

proto::Result<void> join_sites(const FleetConfiguration& configuration, Fleet& fleet) {
  const std::size_t count = fleet.sites.size();
  fleet.between_sites.assign(count * count, path_of(configuration.within_site));
  if (configuration.network.empty()) return {};
  const auto network = load_network(configuration.network);
  if (!network) return proto::configuration_error(to_string(network.error()));
  for (std::size_t from = 0; from < count; ++from) {
    for (std::size_t to = 0; to < count; ++to) {
      const auto path = network->paths.find({fleet.sites[from].name, fleet.sites[to].name});
      if (path != network->paths.end()) {
        fleet.between_sites[from * count + to] = path_of(path->second.conditions, configuration);
      } else if (from != to) {
        return proto::configuration_error(fmt::format(
            "{}: there is no path from {} to {}", configuration.network.string(),
            proto::quoted(fleet.sites[from].name), proto::quoted(fleet.sites[to].name)));
      }
    }
  }
  return {};
}

}  // namespace

proto::Result<FleetModel> model_of(const FleetConfiguration& configuration) {
  FleetModel model;
  model.fleet = Builder(configuration).build();
  if (const auto joined = join_sites(configuration, model.fleet); !joined) return joined.error();
  model.kinds = configuration.kinds;
  for (const KindConfiguration& kind : configuration.kinds) {
    if (kind.profile.empty()) continue;
    auto profile = load_profile(kind.profile);
    if (!profile) return proto::configuration_error(to_string(profile.error()));
    model.profiles.emplace(kind.name, std::move(*profile));
  }
  if (const auto good = scheduler::check_fleet(model.fleet); !good) return good.error();
  return model;
}

}  // namespace longhaul::daemon
