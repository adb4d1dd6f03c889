// Sockets and loops for the channel tests.
#include "tests/unit/channel/loopback.hpp"

#include <charconv>
#include <filesystem>
#include <stdexcept>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace longhaul::proto::test {
namespace {

std::size_t entries(const char* folder) {
  std::size_t count = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(folder)) ++count;
  return count;
}

}  // namespace

bool run_until(boost::asio::io_context& loop, const std::function<bool()>& condition,
               std::chrono::milliseconds deadline) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= end) return false;
    loop.restart();
    loop.run_one_for(std::chrono::milliseconds(20));
  }
  return true;
}

zmq::socket_t raw_dealer(zmq::context_t& context, const std::string& endpoint,
                         const CurveKeyPair& keys, const std::string& server_key) {
  zmq::socket_t socket(context, zmq::socket_type::dealer);
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::curve_serverkey, server_key);
  socket.set(zmq::sockopt::curve_publickey, keys.public_key);
  socket.set(zmq::sockopt::curve_secretkey, keys.secret_key);
  socket.connect(endpoint);
  return socket;
}

RawTcp::RawTcp(const std::string& endpoint) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
  const std::string port = endpoint.substr(endpoint.rfind(':') + 1);
  unsigned short number = 0;
  std::from_chars(port.data(), port.data() + port.size(), number);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(number);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    ::close(fd_);
    throw std::runtime_error("cannot connect to " + endpoint);
  }
}

RawTcp::~RawTcp() { ::close(fd_); }

void RawTcp::send(const std::string& bytes) const {
  [[maybe_unused]] const auto sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
}

bool RawTcp::closed_by_peer() const {
  char buffer[256];
  while (true) {
    const auto got = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got == 0) return true;
    if (got < 0) return errno != EAGAIN && errno != EWOULDBLOCK;
  }
}

std::size_t open_descriptors() { return entries("/proc/self/fd"); }
std::size_t running_threads() { return entries("/proc/self/task"); }

}  // namespace longhaul::proto::test
