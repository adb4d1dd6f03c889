// What the channel tests share: a loop driven until a condition holds, keys, and sockets of a peer
// that does not keep to the rules.
#pragma once

#include "proto/channel/curve_key.hpp"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>

#include <zmq.hpp>

namespace longhaul::proto::test {

inline constexpr std::chrono::seconds kDeadline{30};

// True as soon as `condition` holds; false if it does not within the deadline.
bool run_until(boost::asio::io_context& loop, const std::function<bool()>& condition,
               std::chrono::milliseconds deadline = kDeadline);

// A DEALER by hand, which may send what it likes. Linger 0.
zmq::socket_t raw_dealer(zmq::context_t& context, const std::string& endpoint,
                         const CurveKeyPair& keys, const std::string& server_key);

// Plain TCP to an endpoint of ours, without any handshake.
class RawTcp {
 public:
  explicit RawTcp(const std::string& endpoint);
  ~RawTcp();
  RawTcp(const RawTcp&) = delete;
  RawTcp& operator=(const RawTcp&) = delete;
  void send(const std::string& bytes) const;
  [[nodiscard]] bool closed_by_peer() const;  // does not block

 private:
  int fd_;
};

std::size_t open_descriptors();
std::size_t running_threads();

}  // namespace longhaul::proto::test
