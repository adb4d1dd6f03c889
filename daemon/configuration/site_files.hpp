// The configuration files of the three programs: coordinator, CompNode, and the user's `longhaul`.
#pragma once

#include "daemon/configuration/diagnostic.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace longhaul::daemon {

// Paths are absolute; a relative one in the file is taken from the file's folder. Public keys are
// Z85 text of 40 characters. Key files need not exist: the program makes them.

enum class PeerRole {
  kNode,      // a longhaul-compnode
  kOperator,  // a user of `longhaul`
};

struct AllowedPeer {
  std::string name;        // unique
  std::string public_key;  // unique
  PeerRole role = PeerRole::kNode;

  bool operator==(const AllowedPeer&) const = default;
};

struct CoordinatorConfiguration {
  std::string listen;  // ZeroMQ endpoint to bind, "tcp://0.0.0.0:7070"
  std::filesystem::path key;
  std::filesystem::path state;  // folder of the database
  std::vector<AllowedPeer> peers;

  bool operator==(const CoordinatorConfiguration&) const = default;
};

// Where a coordinator is, and how to know that it is the right one.
struct CoordinatorAddress {
  std::string address;  // ZeroMQ endpoint to dial, "tcp://coordinator.example:7070"
  std::string public_key;

  bool operator==(const CoordinatorAddress&) const = default;
};

struct DeviceConfiguration {
  std::string name;           // "cpu" or "cuda:N"; unique
  std::uint32_t threads = 0;  // for computing on a cpu; 0: all of the host's
  double memory_gb = 0.0;     // 10^9 bytes that a shard may use; 0: what the device has

  bool operator==(const DeviceConfiguration&) const = default;
};

// What workers may take of the host.
struct NodeLimits {
  double cpu_share = 1.0;  // (0, 1], of the time of a cpu device's threads

  bool operator==(const NodeLimits&) const = default;
};

struct NodeConfiguration {
  std::string name;
  std::string site;
  CoordinatorAddress coordinator;
  std::filesystem::path key;
  std::string advertise;  // host under which other nodes' workers dial this one's
  std::filesystem::path state;
  std::vector<DeviceConfiguration> devices;  // at least one
  NodeLimits limits = {};

  bool operator==(const NodeConfiguration&) const = default;
};

struct ClientConfiguration {
  CoordinatorAddress coordinator;
  std::filesystem::path key;

  bool operator==(const ClientConfiguration&) const = default;
};

[[nodiscard]] Checked<CoordinatorConfiguration> load_coordinator_configuration(
    const std::filesystem::path& file);
[[nodiscard]] Checked<NodeConfiguration> load_node_configuration(const std::filesystem::path& file);
[[nodiscard]] Checked<ClientConfiguration> load_client_configuration(
    const std::filesystem::path& file);

// $XDG_CONFIG_HOME/longhaul/client.yaml, or ~/.config/longhaul/client.yaml: where `longhaul` looks
// when no --config is given.
[[nodiscard]] std::filesystem::path default_client_file();

}  // namespace longhaul::daemon
