// The keys of the programs' own configuration files, and what must hold between them.
#include "daemon/configuration/site_files.hpp"

#include "daemon/configuration/tables.hpp"
#include "proto/channel/curve_key.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <set>
#include <utility>

namespace longhaul::daemon {
namespace {

bool is_public_key(std::string_view text) { return proto::is_z85_key(std::string(text)); }

bool is_host(std::string_view text) {
  const auto fits = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '-' || c == ':' || c == '[' || c == ']' || c == '_';
  };
  return !text.empty() && text.size() <= 255 && std::all_of(text.begin(), text.end(), fits);
}

// "tcp://HOST:PORT"; "*" stands for all addresses, or for a port of the system's choice, if
// allowed.
bool is_endpoint(std::string_view text, bool wildcards) {
  constexpr std::string_view kScheme = "tcp://";
  if (!text.starts_with(kScheme)) return false;
  text.remove_prefix(kScheme.size());
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return false;
  const std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (!is_host(host) && !(wildcards && host == "*")) return false;
  if (wildcards && port == "*") return true;
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  return error == std::errc{} && end == port.data() + port.size() && number >= 1 && number <= 65535;
}

// "ipc:///folder/file": processes of one machine only, as `longhaul run` connects them.
bool is_socket_file(std::string_view text) {
  return text.starts_with("ipc:///") && text.find_first_of("*\n") == std::string_view::npos;
}

bool is_dialled_endpoint(std::string_view text) {
  return is_endpoint(text, false) || is_socket_file(text);
}
bool is_bound_endpoint(std::string_view text) {
  return is_endpoint(text, true) || is_socket_file(text);
}

constexpr Text kPublicKey{"a public key of 40 characters, in quotes", is_public_key};
constexpr Text kDialled{"an address like tcp://coordinator.example:7070", is_dialled_endpoint};
constexpr Text kBound{"an address like tcp://0.0.0.0:7070", is_bound_endpoint};
constexpr Text kHost{"a host name or an address", is_host};

const Table<AllowedPeer>& peer_table() {
  static const Table<AllowedPeer> table{
      "One that may connect",
      {{"name", kName, required, &AllowedPeer::name, "the peer's name; a node's own `name`"},
       {"public_key", kPublicKey, required, &AllowedPeer::public_key, "the peer's public key"},
       {"role", Choice<PeerRole>{{{"node", PeerRole::kNode}, {"operator", PeerRole::kOperator}}},
        required, &AllowedPeer::role,
        "`node` for a longhaul-compnode, `operator` for a user of `longhaul`"}}};
  return table;
}

const Table<CoordinatorAddress>& address_table() {
  static const Table<CoordinatorAddress> table{
      "Where the coordinator is",
      {{"address", kDialled, required, &CoordinatorAddress::address, "where to dial"},
       {"public_key", kPublicKey, required, &CoordinatorAddress::public_key,
        "how to know that it is the right one"}}};
  return table;
}

const Table<DeviceConfiguration>& device_table() {
  static const Table<DeviceConfiguration> table{
      "One device that computes",
      {{"name", kDevice, required, &DeviceConfiguration::name, "`cpu`, or `cuda:0` and so on"},
       {"threads", Integer{0, 4096}, otherwise("0"), &DeviceConfiguration::threads,
        "threads that compute on a cpu; 0: all that the host has"},
       {"memory_gb", Real{0.0, 1e6}, otherwise("0"), &DeviceConfiguration::memory_gb,
        "10^9 bytes that a shard may use; 0: what the device has"}}};
  return table;
}

const Table<NodeLimits>& limits_table() {
  static const Table<NodeLimits> table{
      "What workers may take of the host",
      {{"cpu_share", Real{0.0, 1.0, true}, otherwise("1"), &NodeLimits::cpu_share,
        "the share of the time of a cpu device's threads that its worker gets, period by period"}}};
  return table;
}

// Names the second of two items alike.
template <class Item>
void check_unique(Reading& reading, const std::vector<Item>& items, const std::string& path,
                  std::string_view key, std::string Item::*field) {
  std::set<std::string_view> seen;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::string item = fmt::format("{}[{}].{}", path, i, key);
    const std::string& value = items[i].*field;
    if (!value.empty() && !seen.insert(value).second) {
      reading.error_at(item, fmt::format("{} is {} a second time", item, proto::quoted(value)));
    }
  }
}

void check_coordinator(Reading& reading, CoordinatorConfiguration& configuration) {
  check_unique(reading, configuration.peers, "peers", "name", &AllowedPeer::name);
  check_unique(reading, configuration.peers, "peers", "public_key", &AllowedPeer::public_key);
}

void check_node(Reading& reading, NodeConfiguration& configuration) {
  check_unique(reading, configuration.devices, "devices", "name", &DeviceConfiguration::name);
  if (reading.is_good("devices") && configuration.devices.empty()) {
    reading.error_at("devices", "devices must name at least one device");
  }
  const bool has_cpu = std::ranges::find(configuration.devices, "cpu",
                                         &DeviceConfiguration::name) != configuration.devices.end();
  if (configuration.limits.cpu_share < 1.0 && !has_cpu && reading.is_good("devices")) {
    reading.error_at("limits.cpu_share", "limits.cpu_share must be 1 where no device is a cpu");
  }
}

}  // namespace

const Table<CoordinatorConfiguration>& coordinator_table() {
  static const Table<CoordinatorConfiguration> table{
      "Coordinator",
      {{"listen", kBound, otherwise("tcp://0.0.0.0:7070"), &CoordinatorConfiguration::listen,
        "the address that nodes and users dial"},
       {"key", Path{}, otherwise("coordinator.key"), &CoordinatorConfiguration::key,
        "the coordinator's key pair; made if it is missing"},
       {"state", Path{}, otherwise("/var/lib/longhaul/coordinator"),
        &CoordinatorConfiguration::state, "a folder for jobs and nodes, made if it is missing"},
       {"peers", peer_table(), required, &CoordinatorConfiguration::peers,
        "who may connect: nodes and users; nobody else gets as far as sending a byte"}}};
  return table;
}

const Table<NodeConfiguration>& node_table() {
  static const Table<NodeConfiguration> table{
      "Node",
      {{"name", kName, required, &NodeConfiguration::name, "the node's name in the fleet"},
       {"site", kName, required, &NodeConfiguration::site, "the place whose network it shares"},
       {"coordinator", address_table(), required, &NodeConfiguration::coordinator,
        "the coordinator to join"},
       {"key", Path{}, otherwise("node.key"), &NodeConfiguration::key,
        "the node's key pair; made if it is missing"},
       {"advertise", kHost, required, &NodeConfiguration::advertise,
        "the host name or address under which other nodes' workers reach this one's"},
       {"state", Path{}, otherwise("/var/lib/longhaul/node"), &NodeConfiguration::state,
        "a folder for the workers' files, made if it is missing"},
       {"devices", device_table(), otherwise("[{name: cpu}]"), &NodeConfiguration::devices,
        "what computes here; one worker each"},
       {"limits", limits_table(), or_else("its defaults"), &NodeConfiguration::limits,
        "what workers may take of the host"}}};
  return table;
}

const Table<ClientConfiguration>& client_table() {
  static const Table<ClientConfiguration> table{
      "Client",
      {{"coordinator", address_table(), required, &ClientConfiguration::coordinator,
        "the coordinator to talk to"},
       {"key", Path{}, otherwise("client.key"), &ClientConfiguration::key,
        "the user's key pair; made if it is missing"}}};
  return table;
}

Checked<CoordinatorConfiguration> load_coordinator_configuration(
    const std::filesystem::path& file) {
  return load_file<CoordinatorConfiguration>(file, coordinator_table(), check_coordinator);
}

Checked<NodeConfiguration> load_node_configuration(const std::filesystem::path& file) {
  return load_file<NodeConfiguration>(file, node_table(), check_node);
}

Checked<ClientConfiguration> load_client_configuration(const std::filesystem::path& file) {
  return load_file<ClientConfiguration>(file, client_table(),
                                        [](Reading&, ClientConfiguration&) {});
}

std::filesystem::path default_client_file() {
  const auto variable = [](const char* name) -> std::filesystem::path {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  std::filesystem::path folder = variable("XDG_CONFIG_HOME");
  if (!folder.is_absolute()) folder = variable("HOME") / ".config";
  return folder / "longhaul" / "client.yaml";
}

}  // namespace longhaul::daemon
