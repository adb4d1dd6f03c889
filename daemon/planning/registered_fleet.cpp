// A host and a device for each node; paths in the order of what is best known.
#include "daemon/planning/registered_fleet.hpp"

#include "proto/text.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <set>

namespace longhaul::daemon {
namespace {

using scheduler::Fleet;
using scheduler::FleetPath;

constexpr FleetPath kWithinMachine{.delay_s = 0.05e-3};
constexpr FleetPath kWithinSite{.delay_s = 0.2e-3, .bytes_per_s = 125e6};
constexpr FleetPath kBetweenSites{.delay_s = 20e-3, .bytes_per_s = 12.5e6};

FleetPath path_of(const MeasuredPath& measured, const FleetPath& assumed) {
  FleetPath path{.delay_s = 0.5 * measured.round_trip_s, .bytes_per_s = measured.bytes_per_s};
  if (measured.at_least) path.bytes_per_s = std::max(path.bytes_per_s, assumed.bytes_per_s);
  return path;
}

std::string site_name(const wire::NodeInfo& node) {
  return node.site().empty() ? std::string("here") : node.site();
}

class Builder {
 public:
  Builder(std::span<const wire::NodeInfo> nodes, const FleetKnowledge& knowledge)
      : nodes_(nodes), knowledge_(knowledge) {}

  proto::Result<RegisteredFleet> build(const std::function<bool(const std::string&)>& has_data) {
    for (const wire::NodeInfo& node : nodes_) {
      if (auto added = add(node, has_data(node.name())); !added) return added.error();
    }
    join_sites();
    join_hosts();
    if (auto taken = take_host_figures(result_.model); !taken) return taken.error();
    if (auto good = scheduler::check_fleet(fleet()); !good) return good.error();
    return std::move(result_);
  }

 private:
  Fleet& fleet() { return result_.model.fleet; }

  std::size_t site_index(const std::string& name) {
    auto& sites = fleet().sites;
    const auto found = std::ranges::find(sites, name, &scheduler::Site::name);
    if (found != sites.end()) return static_cast<std::size_t>(found - sites.begin());
    sites.push_back({.name = name});
    return sites.size() - 1;
  }

  proto::Result<void> add(const wire::NodeInfo& node, bool has_data) {
    const wire::Device& device = computing_device(node);
    const std::string kind = kind_of(device);
    const auto profile = knowledge_.profiles.find(kind);
    if (profile == knowledge_.profiles.end()) {
      const auto why = knowledge_.unprofiled.find(kind);
      return proto::configuration_error(
          fmt::format("there is no profile of {}, of node {}{}", proto::quoted(kind),
                      proto::quoted(node.name()),
                      why == knowledge_.unprofiled.end() ? "" : ": " + why->second));
    }
    if (result_.model.profiles.emplace(kind, profile->second).second) {
      result_.model.kinds.push_back({.name = kind, .profile = {}});
    }
    scheduler::Host host;
    host.name = node.name();
    host.site = site_index(site_name(node));
    host.machine = node.machine();
    fleet().hosts.push_back(std::move(host));
    scheduler::FleetDevice placed;
    placed.node = node.name();
    placed.device = device.name();
    placed.host = fleet().hosts.size() - 1;
    placed.kind = kind;
    placed.threads = std::max(1u, device.threads());
    placed.speed = device.cpu_share() > 0.0 ? device.cpu_share() : 1.0;
    placed.memory_bytes = device.memory_bytes();
    placed.has_data = has_data;
    fleet().devices.push_back(std::move(placed));
    return {};
  }

  // The fastest that any job's traffic between the two sites came to.
  [[nodiscard]] std::optional<FleetPath> best_between(const std::string& from,
                                                      const std::string& to,
                                                      const FleetPath& assumed) const {
    std::optional<FleetPath> best;
    for (const auto& [nodes, path] : knowledge_.paths) {
      if (path.from_site != from || path.to_site != to || path.bytes_per_s <= 0.0) continue;
      const FleetPath one = path_of(path, assumed);
      if (!best || one.bytes_per_s > best->bytes_per_s) best = one;
    }
    return best;
  }

  void join_sites() {
    const auto& sites = fleet().sites;
    std::set<std::string> assumed;
    for (const auto& from : sites) {
      for (const auto& to : sites) {
        const FleetPath& otherwise = from.name == to.name ? kWithinSite : kBetweenSites;
        const auto best = best_between(from.name, to.name, otherwise);
        fleet().between_sites.push_back(best.value_or(otherwise));
        if (!best && from.name < to.name) assumed.insert(from.name + "-" + to.name);
      }
    }
    if (assumed.empty()) return;
    result_.assumptions.push_back(fmt::format(
        "planned with {:.0f} Mbit/s and {:.0f} ms one way between {}, which no job has "
        "measured yet",
        kBetweenSites.bytes_per_s * 8e-6, kBetweenSites.delay_s * 1e3, fmt::join(assumed, ", ")));
  }

  void join_hosts() {
    const auto& hosts = fleet().hosts;
    for (std::size_t from = 0; from < hosts.size(); ++from) {
      for (std::size_t to = 0; to < hosts.size(); ++to) {
        if (from == to) continue;
        const bool same_site = hosts[from].site == hosts[to].site;
        if (same_site && !hosts[from].machine.empty() && hosts[from].machine == hosts[to].machine) {
          fleet().between_hosts[{from, to}] = kWithinMachine;
          continue;
        }
        const auto measured = knowledge_.paths.find({hosts[from].name, hosts[to].name});
        if (measured == knowledge_.paths.end() || measured->second.bytes_per_s <= 0.0) continue;
        fleet().between_hosts[{from, to}] =
            path_of(measured->second, same_site ? kWithinSite : kBetweenSites);
      }
    }
  }

  std::span<const wire::NodeInfo> nodes_;
  const FleetKnowledge& knowledge_;
  RegisteredFleet result_;
};

}  // namespace

const wire::Device& computing_device(const wire::NodeInfo& node) {
  const auto cuda = std::ranges::find_if(
      node.devices(), [](const auto& device) { return device.name().starts_with("cuda"); });
  return cuda == node.devices().end() ? node.devices(0) : *cuda;
}

std::string kind_of(const wire::Device& device) {
  const std::string& described =
      device.description().empty() ? device.name() : device.description();
  if (device.name() != "cpu") return described;
  const std::uint32_t threads = std::max(1u, device.threads());
  return fmt::format("{}, {} thread{}", described, threads, threads > 1 ? "s" : "");
}

proto::Result<RegisteredFleet> registered_fleet(
    std::span<const wire::NodeInfo> nodes, const FleetKnowledge& knowledge,
    const std::function<bool(const std::string& node)>& has_data) {
  return Builder(nodes, knowledge).build(has_data);
}

}  // namespace longhaul::daemon
