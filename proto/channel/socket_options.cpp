// Sets options on ZeroMQ sockets and words their errors.
#include "proto/channel/socket_options.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <charconv>
#include <cstdint>
#include <system_error>

namespace longhaul::proto {
namespace {

using std::chrono::milliseconds;

// What CURVE adds to a frame: command name, nonce, flags and authenticator.
constexpr std::size_t kCurveOverheadBytes = 64;
constexpr milliseconds kHandshakeTimeout{10'000};
constexpr milliseconds kRedialFirst{100};
constexpr milliseconds kRedialLast{2'000};
constexpr milliseconds kHeartbeatInterval{5'000};
constexpr milliseconds kHeartbeatTimeout{60'000};
constexpr int kKeepaliveIdleSeconds = 15;
constexpr int kKeepaliveIntervalSeconds = 5;
constexpr int kKeepaliveCount = 3;
constexpr milliseconds kUnacknowledgedTimeout{60'000};

int count(milliseconds duration) { return static_cast<int>(duration.count()); }

void allow_ipv6(zmq::socket_ref socket, const std::string& address) {
  // Only where asked for: with it on, libzmq shows IPv4 addresses in IPv6 clothes.
  if (address.find('[') != std::string::npos) socket.set(zmq::sockopt::ipv6, 1);
}

std::string remedy(int error) {
  switch (error) {
    case EADDRINUSE:
      return "another program has this port; stop it or choose another port";
    case EADDRNOTAVAIL:
    case ENODEV:
      return "this machine has no such address; use one of its own, or 0.0.0.0";
    case EACCES:
      return "no permission; choose a port above 1023, or a folder you may write to";
    case ENAMETOOLONG:
      return "the path is too long for a socket (107 bytes); use a shorter folder";
    case ENOENT:
      return "the folder does not exist; create it first";
    case EINVAL:
    case EPROTONOSUPPORT:
      return "not an address; write tcp://HOST:PORT or ipc://PATH";
    default:
      return zmq_strerror(error);
  }
}

// libzmq takes any number for a port, and uses its last 16 bits.
bool has_sound_port(const std::string& address) {
  if (!address.starts_with("tcp://")) return true;
  const std::string port = address.substr(address.rfind(':') + 1);
  if (port == "*") return true;
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  return error == std::errc() && end == port.data() + port.size() && number <= 0xffff;
}

Error address_error(std::string_view verb, const std::string& address, int error) {
  const bool resource = error == EADDRINUSE || error == EMFILE || error == ENOMEM;
  return {resource ? ErrorKind::kResource : ErrorKind::kConfiguration,
          fmt::format("cannot {} {}: {}", verb, address, remedy(error))};
}

}  // namespace

void set_limits(zmq::socket_ref socket, const SocketLimits& limits) {
  socket.set(zmq::sockopt::maxmsgsize,
             static_cast<std::int64_t>(limits.max_frame_bytes + kCurveOverheadBytes));
  socket.set(zmq::sockopt::sndhwm, limits.sent_messages);
  socket.set(zmq::sockopt::rcvhwm, limits.received_messages);
  socket.set(zmq::sockopt::linger, count(limits.linger));
  socket.set(zmq::sockopt::handshake_ivl, count(kHandshakeTimeout));
  socket.set(zmq::sockopt::reconnect_ivl, count(kRedialFirst));
  socket.set(zmq::sockopt::reconnect_ivl_max, count(kRedialLast));
}

void set_curve_server(zmq::socket_ref socket, const CurveKeyPair& keys, const std::string& domain) {
  socket.set(zmq::sockopt::curve_server, true);
  socket.set(zmq::sockopt::curve_secretkey, keys.secret_key);
  socket.set(zmq::sockopt::zap_domain, domain);
}

void set_curve_client(zmq::socket_ref socket, const CurveKeyPair& keys,
                      const std::string& server_key) {
  socket.set(zmq::sockopt::curve_serverkey, server_key);
  socket.set(zmq::sockopt::curve_publickey, keys.public_key);
  socket.set(zmq::sockopt::curve_secretkey, keys.secret_key);
}

void set_heartbeat(zmq::socket_ref socket) {
  socket.set(zmq::sockopt::heartbeat_ivl, count(kHeartbeatInterval));
  socket.set(zmq::sockopt::heartbeat_timeout, count(kHeartbeatTimeout));
}

void set_tcp_liveness(zmq::socket_ref socket) {
  socket.set(zmq::sockopt::heartbeat_ivl, 0);
  socket.set(zmq::sockopt::tcp_keepalive, 1);
  socket.set(zmq::sockopt::tcp_keepalive_idle, kKeepaliveIdleSeconds);
  socket.set(zmq::sockopt::tcp_keepalive_intvl, kKeepaliveIntervalSeconds);
  socket.set(zmq::sockopt::tcp_keepalive_cnt, kKeepaliveCount);
  socket.set(zmq::sockopt::tcp_maxrt, count(kUnacknowledgedTimeout));
}

Result<void> bind_socket(zmq::socket_ref socket, const std::string& address) {
  if (!has_sound_port(address)) return address_error("listen on", address, EINVAL);
  allow_ipv6(socket, address);
  if (zmq_bind(socket.handle(), address.c_str()) != 0) {
    return address_error("listen on", address, zmq_errno());
  }
  return {};
}

Result<void> connect_socket(zmq::socket_ref socket, const std::string& address) {
  if (!has_sound_port(address)) return address_error("dial", address, EINVAL);
  allow_ipv6(socket, address);
  if (zmq_connect(socket.handle(), address.c_str()) != 0) {
    return address_error("dial", address, zmq_errno());
  }
  return {};
}

}  // namespace longhaul::proto
