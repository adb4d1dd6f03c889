// Hosts and devices one by one; paths from the network's file where it has them.
#include "daemon/planning/fleet_model.hpp"

#include "daemon/configuration/profile_file.hpp"
#include "daemon/wan/network_file.hpp"
#include "proto/operator_class.hpp"
#include "proto/text.hpp"
#include "scheduler/workload_from_graph.hpp"

#include <fmt/format.h>

#include <chrono>
#include <limits>

namespace longhaul::daemon {
namespace {

using scheduler::Fleet;
using scheduler::FleetDevice;
using scheduler::FleetPath;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kGiga = 1e9;
// Of a path's rate, which counts IP packets: headers and encryption take the rest, as
// tests/bench/link measures it.
constexpr double kPayloadShare = 0.955;

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
  path.bytes_per_s =
      kPayloadShare * configuration.bandwidth_scale * conditions.rate_bits_per_s / 8.0;
  return path;
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
      device.device = fleet_device_name(devices.name, i);
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

// Where the data sheet says nothing of memory, it is no bound.
constexpr double kFastMemory = 1e15;

scheduler::DeviceKind device_kind(const KindConfiguration& kind) {
  scheduler::DeviceKind device;
  device.name = kind.name;
  // A kind with a profile needs no rates: its times are replaced.
  device.flops_per_s = kind.tflops > 0.0 ? kind.tflops * 1e12 : 1e12;
  device.efficiency = kind.efficiency;
  device.memory_bytes_per_s =
      kind.memory_gb_per_s > 0.0 ? kind.memory_gb_per_s * kGiga : kFastMemory;
  return device;
}

// [n]: what n + 1 busy processors do, from what devices of some threads each were measured to do.
std::vector<double> busy_speed(const scheduler::DeviceProfile& profile) {
  std::vector<double> speed;
  const auto& side = profile.side_by_side;
  if (side.empty()) return speed;
  for (std::size_t busy = 1; busy <= side.size() * profile.threads; ++busy) {
    const double devices = static_cast<double>(busy) / profile.threads;
    const auto whole = static_cast<std::size_t>(devices);
    const double below = whole == 0 ? 0.0 : side[whole - 1];
    const double above = whole < side.size() ? side[whole] : below;
    speed.push_back(profile.threads *
                    (below + (devices - static_cast<double>(whole)) * (above - below)));
  }
  for (double& one : speed) one /= speed.front();
  return speed;
}

proto::Result<void> take_times(const proto::Graph& graph, const proto::ShapeBinding& binding,
                               const scheduler::DeviceProfile& profile, std::size_t kind,
                               scheduler::Workload& workload) {
  const auto shapes = proto::infer_shapes(graph, binding);
  if (!shapes) return shapes.error();
  for (std::uint32_t i = 0; i < graph.operators.size(); ++i) {
    const auto time = scheduler::time_of(
        profile, proto::operator_class(graph, proto::OperatorIndex{i}, *shapes), binding);
    if (!time) return time.error();
    workload.times[kind][i] = *time;
  }
  workload.overlap_slowdown[kind] = profile.overlap_slowdown;
  return {};
}

// The optimizer's time for a parameter on each kind, where a profile has it.
void take_updates(const FleetModel& model, scheduler::Workload& workload) {
  std::vector<double> per_parameter;
  for (const std::string& kind : workload.kinds) {
    const auto profile = model.profiles.find(kind);
    if (profile == model.profiles.end()) return;  // the formulas stand for all
    per_parameter.push_back(profile->second.update_s_per_parameter);
  }
  constexpr double kBytesPerParameter = 4.0;
  for (scheduler::WorkloadOperator& op : workload.operators) {
    op.update_s = op.parameter_bytes / kBytesPerParameter * per_parameter.front();
  }
  for (std::size_t kind = 0; kind < per_parameter.size(); ++kind) {
    workload.update_scale[kind] =
        per_parameter.front() > 0.0 ? per_parameter[kind] / per_parameter.front() : 1.0;
  }
}

}  // namespace

proto::Result<scheduler::Workload> workload_of(const proto::Graph& graph,
                                               const proto::ShapeBinding& binding,
                                               const scheduler::MemoryOptions& memory,
                                               const FleetModel& model) {
  scheduler::GraphWorkloadOptions options;
  options.binding = binding;
  options.memory = memory;
  for (const KindConfiguration& kind : model.kinds) options.kinds.push_back(device_kind(kind));
  auto workload = scheduler::workload_from_graph(graph, options);
  if (!workload) return workload.error();
  for (std::size_t kind = 0; kind < model.kinds.size(); ++kind) {
    const auto profile = model.profiles.find(model.kinds[kind].name);
    if (profile == model.profiles.end()) continue;
    if (profile->second.precision != proto::precision_name(memory.precision)) {
      return proto::configuration_error(fmt::format(
          "the profile of {} is of {}, and the job computes in {}", proto::quoted(profile->first),
          profile->second.precision, proto::precision_name(memory.precision)));
    }
    if (auto taken = take_times(graph, binding, profile->second, kind, *workload); !taken) {
      return proto::with_context(model.kinds[kind].profile.string(), taken.error());
    }
  }
  take_updates(model, *workload);
  return workload;
}

proto::Result<void> take_host_figures(FleetModel& model) {
  for (const scheduler::FleetDevice& device : model.fleet.devices) {
    const auto profile = model.profiles.find(device.kind);
    if (device.device != "cpu" || profile == model.profiles.end()) continue;
    const scheduler::DeviceProfile& measured = profile->second;
    if (device.threads != measured.threads) {
      return proto::configuration_error(fmt::format(
          "device cpu of {} has {} threads, and the profile of {} is of {}; measure with "
          "`longhaul probe --profile JOB.yaml --threads {}`",
          proto::quoted(device.node), device.threads, proto::quoted(device.kind), measured.threads,
          device.threads));
    }
    scheduler::Host& host = model.fleet.hosts[device.host];
    if (measured.processors > 0.0 && host.processors == kInfinity) {
      host.processors = measured.processors;
    }
    if (!host.busy_speed.empty()) continue;
    host.busy_speed = busy_speed(measured);
    host.carry_s_per_byte = measured.carry_s_per_byte;
  }
  return {};
}

proto::Result<FleetModel> model_of(const FleetConfiguration& configuration) {
  FleetModel model;
  model.fleet = Builder(configuration).build();
  if (const auto joined = join_sites(configuration, model.fleet); !joined) return joined.error();
  model.kinds = configuration.kinds;
  model.bytes_per_s_of_mbps = kPayloadShare * configuration.bandwidth_scale / 8e-6;
  for (const KindConfiguration& kind : configuration.kinds) {
    if (kind.profile.empty()) continue;
    auto profile = load_profile(kind.profile);
    if (!profile) return proto::configuration_error(to_string(profile.error()));
    model.profiles.emplace(kind.name, std::move(*profile));
  }
  if (const auto taken = take_host_figures(model); !taken) return taken.error();
  if (const auto good = scheduler::check_fleet(model.fleet); !good) return good.error();
  return model;
}

}  // namespace longhaul::daemon
