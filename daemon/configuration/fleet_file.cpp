// The keys of a fleet file, and what must hold between them.
#include "daemon/configuration/fleet_file.hpp"

#include "daemon/configuration/tables.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <set>
#include <string_view>

namespace longhaul::daemon {
namespace {

constexpr Real kAmount{};
constexpr Real kPositive{.above_minimum = true};

const Table<KindConfiguration>& kind_table() {
  static const Table<KindConfiguration> table{
      "A kind of device: a profile, or rates",
      {{"name", Text{}, required, &KindConfiguration::name, "devices name it"},
       {"profile", Path{Path::Must::kBeFile}, or_else("by the rates"), &KindConfiguration::profile,
        "what `longhaul probe --profile` wrote there"},
       {"tflops", kAmount, otherwise("0"), &KindConfiguration::tflops,
        "peak rate, 10^12 operations per second; of the utilisation that is told, too"},
       {"efficiency", Real{0.0, 1.0, true}, otherwise("0.4"), &KindConfiguration::efficiency,
        "the share of the peak that training reaches"},
       {"memory_gb_per_s", kAmount, otherwise("0"), &KindConfiguration::memory_gb_per_s,
        "bandwidth of its memory, 10^9 bytes per second; 0: no bound"}}};
  return table;
}

const Table<FleetDeviceConfiguration>& fleet_device_table() {
  static const Table<FleetDeviceConfiguration> table{
      "Devices of a host",
      {{"name", kDevice, otherwise("cuda:0"), &FleetDeviceConfiguration::name,
        "`cpu`, or the first of `cuda:0`, `cuda:1`, ..."},
       {"count", Integer{1, 1024}, otherwise("1"), &FleetDeviceConfiguration::count,
        "how many there are"},
       {"kind", Text{}, required, &FleetDeviceConfiguration::kind, "one of `kinds`"},
       {"threads", Integer{1, 4096}, otherwise("1"), &FleetDeviceConfiguration::threads,
        "of a cpu"},
       {"speed", Real{0.0, 1.0, true}, otherwise("1"), &FleetDeviceConfiguration::speed,
        "the share of its kind's speed that jobs may use"},
       {"memory_gb", Real{.maximum = 1e6, .above_minimum = true}, required,
        &FleetDeviceConfiguration::memory_gb, "10^9 bytes that a shard may use"},
       {"price_per_hour", kAmount, otherwise("0"), &FleetDeviceConfiguration::price_per_hour,
        "in any currency"}}};
  return table;
}

const Table<FleetHostConfiguration>& fleet_host_table() {
  static const Table<FleetHostConfiguration> table{
      "Hosts alike",
      {{"name", kName, required, &FleetHostConfiguration::name,
        "the node; with `count`, NAME-1, NAME-2 and so on"},
       {"count", Integer{1, 100'000}, otherwise("1"), &FleetHostConfiguration::count,
        "how many there are"},
       {"machine", kName, or_else("each its own"), &FleetHostConfiguration::machine,
        "hosts of one machine share its processors, as `longhaul run` has them"},
       {"processors", kAmount, otherwise("0"), &FleetHostConfiguration::processors,
        "of the machine, shared by its cpu devices; 0: nothing shares them"},
       {"data", Choice<bool>{{{"true", true}, {"false", false}}}, otherwise("true"),
        &FleetHostConfiguration::has_data, "whether the job's data is there"},
       {"devices", fleet_device_table(), required, &FleetHostConfiguration::devices,
        "what computes"}}};
  return table;
}

const Table<FleetSiteConfiguration>& fleet_site_table() {
  static const Table<FleetSiteConfiguration> table{
      "A place with its own network",
      {{"name", kName, required, &FleetSiteConfiguration::name, "as in the network's file"},
       {"egress_price_per_gb", kAmount, otherwise("0"),
        &FleetSiteConfiguration::egress_price_per_gb, "for 10^9 bytes that leave the site"},
       {"egress_gb_per_hour", kAmount, otherwise("0"), &FleetSiteConfiguration::egress_gb_per_hour,
        "10^9 bytes that may leave per hour, on average; 0: no cap"},
       {"hosts", fleet_host_table(), required, &FleetSiteConfiguration::hosts, "at least one"}}};
  return table;
}

const Table<FleetPathConfiguration>& path_table() {
  static const Table<FleetPathConfiguration> table{
      "A path that the network's file does not have",
      {{"delay_ms", kAmount, otherwise("0"), &FleetPathConfiguration::delay_ms, "one way"},
       {"bandwidth_mbps", kAmount, otherwise("0"), &FleetPathConfiguration::bandwidth_mbps,
        "10^6 bits per second; 0: unlimited"}}};
  return table;
}

// What must hold of the lists: not empty, and names once.
template <class Item>
void check_list(Reading& reading, const std::vector<Item>& items, const std::string& path,
                std::set<std::string>& names) {
  if (items.empty() && reading.is_good(path)) {
    reading.error_at(path, path + " must have at least one entry");
  }
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (items[i].name.empty() || names.insert(items[i].name).second) continue;
    const std::string item = fmt::format("{}[{}].name", path, i);
    reading.error_at(item,
                     fmt::format("{} is {} a second time", item, proto::quoted(items[i].name)));
  }
}

void check_devices(Reading& reading, const FleetHostConfiguration& host, const std::string& path,
                   const std::set<std::string>& kinds) {
  if (host.devices.empty() && reading.is_good(path)) {
    reading.error_at(path, path + " must have at least one entry");
  }
  const std::vector<std::string_view> known(kinds.begin(), kinds.end());
  for (std::size_t i = 0; i < host.devices.size(); ++i) {
    const std::string& kind = host.devices[i].kind;
    if (kind.empty() || kinds.contains(kind)) continue;
    const std::string item = fmt::format("{}[{}].kind", path, i);
    reading.error_at(item, fmt::format("{} must be one of `kinds`, not {}{}", item,
                                       proto::quoted(kind), proto::did_you_mean(kind, known)));
  }
}

// Nodes' names once `count` is taken apart: NAME, or NAME-1, NAME-2, ...
void check_nodes(Reading& reading, const FleetConfiguration& fleet) {
  std::map<std::string, std::string> owners;  // of a node: the host's entry
  for (std::size_t i = 0; i < fleet.sites.size(); ++i) {
    for (std::size_t j = 0; j < fleet.sites[i].hosts.size(); ++j) {
      const FleetHostConfiguration& host = fleet.sites[i].hosts[j];
      const std::string path = fmt::format("sites[{}].hosts[{}]", i, j);
      if (host.name.empty() || !reading.is_good(path)) continue;
      for (std::uint32_t n = 1; n <= host.count; ++n) {
        const std::string node = host.count == 1 ? host.name : fmt::format("{}-{}", host.name, n);
        const auto [known, fresh] = owners.emplace(node, path);
        if (fresh || known->second == path) continue;
        reading.error_at(path + ".name",
                         fmt::format("{} makes a node {}, which {} makes too; node names must "
                                     "differ",
                                     path, proto::quoted(node), known->second));
        break;
      }
    }
  }
}

// A host's devices once `count` is taken apart.
void check_device_names(Reading& reading, const FleetHostConfiguration& host,
                        const std::string& path) {
  std::set<std::string> seen;
  for (std::size_t k = 0; k < host.devices.size(); ++k) {
    const FleetDeviceConfiguration& device = host.devices[k];
    const std::string item = fmt::format("{}[{}].name", path, k);
    const std::string first = device.name.empty() ? "cuda:0" : device.name;
    for (std::uint32_t n = 0; n < device.count; ++n) {
      const std::string name = fleet_device_name(first, n);
      if (seen.insert(name).second) continue;
      reading.error_at(item, fmt::format("{} makes a device {} a second time on host {}", item,
                                         proto::quoted(name), proto::quoted(host.name)));
      break;
    }
  }
}

void check(Reading& reading, FleetConfiguration& fleet) {
  std::set<std::string> kinds, sites, hosts;
  check_list(reading, fleet.kinds, "kinds", kinds);
  check_list(reading, fleet.sites, "sites", sites);
  for (std::size_t i = 0; i < fleet.kinds.size(); ++i) {
    const KindConfiguration& kind = fleet.kinds[i];
    const std::string path = fmt::format("kinds[{}]", i);
    if (reading.is_good(path) && kind.profile.empty() && kind.tflops <= 0.0) {
      reading.error_at(path, path + " must have a profile, or tflops");
    }
  }
  for (std::size_t i = 0; i < fleet.sites.size(); ++i) {
    const std::string path = fmt::format("sites[{}].hosts", i);
    check_list(reading, fleet.sites[i].hosts, path, hosts);
    for (std::size_t j = 0; j < fleet.sites[i].hosts.size(); ++j) {
      const std::string devices = fmt::format("{}[{}].devices", path, j);
      check_devices(reading, fleet.sites[i].hosts[j], devices, kinds);
      if (reading.is_good(devices)) {
        check_device_names(reading, fleet.sites[i].hosts[j], devices);
      }
    }
  }
  check_nodes(reading, fleet);
}

}  // namespace

const Table<FleetConfiguration>& fleet_table() {
  static const Table<FleetConfiguration> table{
      "Fleet",
      {{"network", Path{Path::Must::kBeFile}, or_else("every path is like `within_site`"),
        &FleetConfiguration::network, "delays and rates between sites, as `longhaul run --wan`"},
       {"bandwidth_scale", kPositive, otherwise("1"), &FleetConfiguration::bandwidth_scale,
        "a factor on the network's rates"},
       {"delay_scale", kAmount, otherwise("1"), &FleetConfiguration::delay_scale,
        "a factor on its delays"},
       {"within_site", path_table(), or_else("unlimited"), &FleetConfiguration::within_site,
        "between hosts of a site that the network's file does not join with itself"},
       {"within_host", path_table(), or_else("unlimited"), &FleetConfiguration::within_host,
        "between devices of a host"},
       {"kinds", kind_table(), required, &FleetConfiguration::kinds, "of devices"},
       {"sites", fleet_site_table(), required, &FleetConfiguration::sites, "where hosts are"}}};
  return table;
}

std::string fleet_device_name(const std::string& first, std::uint32_t offset) {
  constexpr std::string_view kCuda = "cuda:";
  if (!first.starts_with(kCuda)) return first;
  std::uint32_t number = 0;
  std::from_chars(first.data() + kCuda.size(), first.data() + first.size(), number);
  return fmt::format("{}{}", kCuda, number + offset);
}

Checked<FleetConfiguration> load_fleet_configuration(const std::filesystem::path& file) {
  return load_file<FleetConfiguration>(file, fleet_table(), check);
}

}  // namespace longhaul::daemon
