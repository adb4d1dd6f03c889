// One network namespace per site, each with a TUN device whose packets arrive in this process.
#pragma once

#include "proto/error.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace longhaul::daemon {

// A file descriptor that is closed with its owner.
class OwnedDescriptor {
 public:
  explicit OwnedDescriptor(int value = -1) : value_(value) {}
  ~OwnedDescriptor();
  OwnedDescriptor(OwnedDescriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  OwnedDescriptor& operator=(OwnedDescriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  [[nodiscard]] int get() const { return value_; }

 private:
  int value_;
};

// What the relay and those who start processes at a site need.
struct SitePort {
  OwnedDescriptor network;  // the namespace
  OwnedDescriptor tunnel;   // the TUN device: IP packets behind a virtio_net_hdr; does not block
  std::string address;      // "10.87.SITE.1"
};

struct SiteNetworks {
  std::vector<SitePort> ports;
  bool user_namespace = false;         // this process has made itself one
  std::optional<std::string> warning;  // what the system refused though it would have been better
};

struct SiteNetworkOptions {
  std::size_t sites = 0;     // at most kMaxSites
  std::uint32_t mtu = 1500;  // bytes of an IP packet, 576 to 65000
  // The device may hand over several segments of a TCP connection as one packet of up to 64 KiB, as
  // a network card takes them: the only way to carry a gigabit a second with little work.
  bool segments = false;
  bool user_namespace = false;  // make one even if not needed
};

inline constexpr std::size_t kMaxSites = 64;

// Nothing of it has a name outside this process: when the process is gone and the last one that
// entered a namespace, so is all of it. Where the system forbids network namespaces, a user
// namespace is made first, in which this process keeps its user id. Afterwards the process itself
// is in an empty network namespace. Call it from the only thread. kResource names what the system
// refused and what would allow it.
[[nodiscard]] proto::Result<SiteNetworks> make_site_networks(const SiteNetworkOptions& options);

}  // namespace longhaul::daemon
