// The paths between devices, and the checks of a fleet.
#include "scheduler/fleet.hpp"

#include "proto/text.hpp"

#include <fmt/format.h>

#include <cmath>
#include <set>
#include <span>

namespace longhaul::scheduler {
namespace {

constexpr std::uint64_t kBetweenSites = 0;
constexpr std::uint64_t kBetweenHosts = std::uint64_t{1} << 62U;
constexpr std::uint64_t kWithinHost = std::uint64_t{2} << 62U;

std::uint64_t pair_number(std::uint64_t kind, std::size_t from, std::size_t to) {
  return kind | (std::uint64_t{from} << 31U) | std::uint64_t{to};
}

bool usable(double number) { return std::isfinite(number) && number >= 0.0; }
bool unbounded(double number) { return !std::isnan(number) && number >= 0.0; }

std::string problem_of_path(const FleetPath& path) {
  if (!usable(path.delay_s)) return "a delay that is negative or not finite";
  if (!usable(path.per_message_s)) return "a time per message that is negative or not finite";
  if (!(path.bytes_per_s > 0.0)) return "a bandwidth that is not positive";
  for (const RateChange& change : path.changes) {
    if (!usable(change.at_s) || !usable(change.factor) || change.factor > 1.0) {
      return "a change of the rate at no time, or by a factor that is not from 0 to 1";
    }
  }
  return {};
}

proto::Error wrong(const std::string& what, const std::string& problem) {
  return proto::configuration_error(fmt::format("{}: {}", what, problem));
}

// The first name that occurs twice or is empty, as an error.
template <class Item, class Name>
proto::Result<void> check_names(std::span<const Item> items, const char* what, Name name_of) {
  std::set<std::string> seen;
  for (const Item& item : items) {
    const std::string name = name_of(item);
    if (name.empty()) return proto::configuration_error(fmt::format("a {} without a name", what));
    if (!seen.insert(name).second) {
      return proto::configuration_error(
          fmt::format("two {}s are called {}", what, proto::quoted(name)));
    }
  }
  return {};
}

proto::Result<void> check_sites(const Fleet& fleet) {
  std::vector<bool> has_host(fleet.sites.size());
  for (const Host& host : fleet.hosts) {
    const std::string what = "host " + proto::quoted(host.name);
    if (host.site >= fleet.sites.size()) return wrong(what, "a site that is not there");
    if (!(host.processors > 0.0)) return wrong(what, "processors must be positive");
    has_host[host.site] = true;
  }
  for (std::size_t s = 0; s < fleet.sites.size(); ++s) {
    const Site& site = fleet.sites[s];
    const std::string what = "site " + proto::quoted(site.name);
    if (!usable(site.egress_price_per_byte)) {
      return wrong(what, "an egress price that is negative or not finite");
    }
    if (!unbounded(site.egress_bytes_per_hour)) return wrong(what, "a negative egress cap");
    if (!has_host[s]) return wrong(what, "it has no host; give it one or leave it out");
  }
  return {};
}

proto::Result<void> check_devices(const Fleet& fleet) {
  if (fleet.devices.empty()) return proto::configuration_error("a fleet without a device");
  for (const FleetDevice& device : fleet.devices) {
    const std::string what = fmt::format("device {} of node {}", proto::quoted(device.device),
                                         proto::quoted(device.node));
    if (device.host >= fleet.hosts.size()) return wrong(what, "a host that is not there");
    if (device.threads == 0) return wrong(what, "threads must be positive");
    if (!usable(device.speed) || device.speed == 0.0) return wrong(what, "speed must be positive");
    if (!usable(device.peak_flops_per_s)) return wrong(what, "a bad peak of FLOPs per second");
    if (!usable(device.price_per_hour))
      return wrong(what, "a price that is negative or not finite");
    if (device.kind.empty()) return wrong(what, "a device without a kind");
  }
  return {};
}

proto::Result<void> check_paths(const Fleet& fleet) {
  const std::size_t sites = fleet.sites.size();
  if (auto problem = problem_of_path(fleet.within_host); !problem.empty()) {
    return wrong("path within a host", problem);
  }
  if (fleet.between_sites.size() != sites * sites) {
    return proto::configuration_error(fmt::format("{} paths between {} sites; {} are needed",
                                                  fleet.between_sites.size(), sites,
                                                  sites * sites));
  }
  for (std::size_t p = 0; p < fleet.between_sites.size(); ++p) {
    if (auto problem = problem_of_path(fleet.between_sites[p]); !problem.empty()) {
      return wrong(
          fmt::format("path from site {} to site {}", proto::quoted(fleet.sites[p / sites].name),
                      proto::quoted(fleet.sites[p % sites].name)),
          problem);
    }
  }
  for (const auto& [hosts, path] : fleet.between_hosts) {
    if (hosts.first >= fleet.hosts.size() || hosts.second >= fleet.hosts.size()) {
      return proto::configuration_error("a path between hosts that are not there");
    }
    if (auto problem = problem_of_path(path); !problem.empty()) {
      return wrong(
          fmt::format("path from host {} to host {}", proto::quoted(fleet.hosts[hosts.first].name),
                      proto::quoted(fleet.hosts[hosts.second].name)),
          problem);
    }
  }
  return {};
}

}  // namespace

const FleetPath& Fleet::path(std::size_t from_device, std::size_t to_device) const {
  const std::size_t from = devices[from_device].host;
  const std::size_t to = devices[to_device].host;
  if (from == to) return within_host;
  if (!between_hosts.empty()) {
    const auto measured = between_hosts.find({from, to});
    if (measured != between_hosts.end()) return measured->second;
  }
  return between_sites[hosts[from].site * sites.size() + hosts[to].site];
}

std::uint64_t Fleet::shared_path(std::size_t from_device, std::size_t to_device) const {
  const std::size_t from = devices[from_device].host;
  const std::size_t to = devices[to_device].host;
  if (from == to) return pair_number(kWithinHost, from_device, to_device);
  if (hosts[from].site == hosts[to].site ||
      (!between_hosts.empty() && between_hosts.contains({from, to}))) {
    return pair_number(kBetweenHosts, from, to);
  }
  return pair_number(kBetweenSites, hosts[from].site, hosts[to].site);
}

proto::Result<void> check_fleet(const Fleet& fleet) {
  using Names = std::span<const Site>;
  if (auto names = check_names(Names(fleet.sites), "site", [](const Site& s) { return s.name; });
      !names) {
    return names;
  }
  if (auto names = check_names(std::span<const Host>(fleet.hosts), "host",
                               [](const Host& host) { return host.name; });
      !names) {
    return names;
  }
  if (auto names = check_names(std::span<const FleetDevice>(fleet.devices), "device",
                               [](const FleetDevice& device) {
                                 return device.node.empty() || device.device.empty()
                                            ? std::string()
                                            : device.node + "/" + device.device;
                               });
      !names) {
    return names;
  }
  if (auto sites = check_sites(fleet); !sites) return sites;
  if (auto devices = check_devices(fleet); !devices) return devices;
  return check_paths(fleet);
}

}  // namespace longhaul::scheduler
