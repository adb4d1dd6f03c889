// unshare, TUN devices and their addresses by ioctl: no name outside, nothing to clean up.
#include "daemon/wan/namespaces.hpp"

#include "daemon/wan/ip_packet.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <string_view>

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace longhaul::daemon {

namespace {

constexpr std::uint32_t kQueuedPackets = 10'000;  // of a device, until the relay reads them

proto::Error refused(std::string_view what, std::string_view way_out) {
  return {proto::ErrorKind::kResource,
          fmt::format("cannot {}: {}: {}", what, std::strerror(errno), way_out)};
}

bool write_file(const char* path, std::string_view text) {
  const OwnedDescriptor file(open(path, O_WRONLY | O_CLOEXEC));
  return file.get() >= 0 &&
         write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// With our own user and group id inside as outside: files look the same, and a program that is
// executed has no more rights over them than before.
proto::Result<void> make_user_namespace() {
  const auto user = geteuid();
  const auto group = getegid();
  if (unshare(CLONE_NEWUSER) != 0) {
    return refused("make a user namespace",
                   "run this as root, or allow user namespaces (user.max_user_namespaces, and on "
                   "Debian kernel.unprivileged_userns_clone=1)");
  }
  if (!write_file("/proc/self/setgroups", "deny") ||
      !write_file("/proc/self/uid_map", fmt::format("{0} {0} 1", user)) ||
      !write_file("/proc/self/gid_map", fmt::format("{0} {0} 1", group))) {
    return refused("map our user into a user namespace", "run this as root");
  }
  return {};
}

bool set_flags(int socket, ifreq request) {
  if (ioctl(socket, SIOCGIFFLAGS, &request) != 0) return false;
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  return ioctl(socket, SIOCSIFFLAGS, &request) == 0;
}

void set_address(ifreq& request, const char* address) {
  auto& place = reinterpret_cast<sockaddr_in&>(request.ifr_addr);
  place = {};
  place.sin_family = AF_INET;
  inet_pton(AF_INET, address, &place.sin_addr);
}

// Over netlink: the ioctl for it is forbidden in user namespaces.
bool set_queue_length(const ifreq& device, std::uint32_t packets) {
  struct {
    nlmsghdr header;
    ifinfomsg info;
    rtattr attribute;
    std::uint32_t value;
  } request{};
  request.header = {.nlmsg_len = sizeof request,
                    .nlmsg_type = RTM_NEWLINK,
                    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK,
                    .nlmsg_seq = 1,
                    .nlmsg_pid = 0};
  request.info.ifi_index = static_cast<int>(if_nametoindex(device.ifr_name));
  request.attribute = {.rta_len = RTA_LENGTH(sizeof request.value), .rta_type = IFLA_TXQLEN};
  request.value = packets;
  const OwnedDescriptor socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  if (send(socket.get(), &request, sizeof request, 0) < 0) return false;
  struct {
    nlmsghdr header;
    nlmsgerr error;
    char rest[256];
  } answer{};
  if (recv(socket.get(), &answer, sizeof answer, 0) < 0) return false;
  errno = -answer.error.error;
  return errno == 0;
}

// The device exists: gives it its address and takes it up, and the loopback.
bool configure(const ifreq& device, const std::string& address, std::uint32_t mtu) {
  const OwnedDescriptor socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (socket.get() < 0) return false;
  ifreq request = device;
  request.ifr_mtu = static_cast<int>(mtu);
  if (ioctl(socket.get(), SIOCSIFMTU, &request) != 0) return false;
  request = device;
  set_address(request, address.c_str());
  if (ioctl(socket.get(), SIOCSIFADDR, &request) != 0) return false;
  set_address(request, "255.255.0.0");
  if (ioctl(socket.get(), SIOCSIFNETMASK, &request) != 0) return false;
  ifreq loopback{};
  std::strncpy(loopback.ifr_name, "lo", IFNAMSIZ - 1);
  return set_queue_length(device, kQueuedPackets) && set_flags(socket.get(), device) &&
         set_flags(socket.get(), loopback);
}

proto::Result<SitePort> make_port(std::size_t site, const SiteNetworkOptions& options) {
  SitePort port;
  if (unshare(CLONE_NEWNET) != 0) return refused("make a network namespace", "run this as root");
  port.network = OwnedDescriptor(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
  if (port.network.get() < 0) return refused("open /proc/thread-self/ns/net", "mount /proc");
  port.tunnel = OwnedDescriptor(open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (port.tunnel.get() < 0) {
    return refused("open /dev/net/tun",
                   "load the kernel module tun, and let this user read and write the device");
  }
  ifreq device{};
  std::strncpy(device.ifr_name, "wan", IFNAMSIZ - 1);
  device.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR;
  const unsigned offload = options.segments ? TUN_F_CSUM | TUN_F_TSO4 : TUN_F_CSUM;
  // Checksums need not be computed: packets go from one kernel's memory to the same kernel's.
  if (ioctl(port.tunnel.get(), TUNSETIFF, &device) != 0 ||
      ioctl(port.tunnel.get(), TUNSETOFFLOAD, offload) != 0) {
    return refused("make a TUN device", "run this as root, or allow user namespaces");
  }
  port.address = site_address(site);
  ifreq named{};
  std::memcpy(named.ifr_name, device.ifr_name, IFNAMSIZ);
  if (!configure(named, port.address, options.mtu)) {
    return refused("configure a TUN device", "run this as root, or allow user namespaces");
  }
  return port;
}

// What one connection may have in flight: enough for a gigabit a second over half a second, as a
// host of the wide area would be set up. The files are those of the present namespace.
bool widen_windows() {
  return write_file("/proc/sys/net/ipv4/tcp_rmem", "4096 131072 67108864") &&
         write_file("/proc/sys/net/ipv4/tcp_wmem", "4096 131072 67108864");
}

// ping without a privilege, for whoever looks around at a site; no matter if the system refuses.
void allow_ping() {
  const auto range = fmt::format("{0} {0}", getegid());
  static_cast<void>(write_file("/proc/sys/net/ipv4/ping_group_range", range));
}

}  // namespace

OwnedDescriptor::~OwnedDescriptor() {
  if (value_ >= 0) close(value_);
}

proto::Result<SiteNetworks> make_site_networks(const SiteNetworkOptions& options) {
  SiteNetworks networks;
  networks.user_namespace = options.user_namespace;
  if (!networks.user_namespace && unshare(CLONE_NEWNET) != 0) {
    if (errno != EPERM) return refused("make a network namespace", "run this as root");
    networks.user_namespace = true;
  }
  if (networks.user_namespace) {
    if (auto made = make_user_namespace(); !made) return made.error();
  }
  for (std::size_t site = 0; site < options.sites; ++site) {
    auto port = make_port(site, options);
    if (!port) return port.error();
    networks.ports.push_back(std::move(*port));
    allow_ping();
    if (!widen_windows()) {
      networks.warning = fmt::format(
          "cannot raise net.ipv4.tcp_rmem and tcp_wmem: {}: a connection on a fast and long path "
          "stays below its rate",
          std::strerror(errno));
    }
  }
  if (unshare(CLONE_NEWNET) != 0) return refused("make a network namespace", "run this as root");
  return networks;
}

}  // namespace longhaul::daemon
