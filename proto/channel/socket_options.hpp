// The options that every socket of ours sets, in one place, and what libzmq's refusals mean.
#pragma once

#include "proto/channel/curve_key.hpp"
#include "proto/error.hpp"

#include <chrono>
#include <cstddef>
#include <string>

#include <zmq.hpp>

namespace longhaul::proto {

struct SocketLimits {
  std::size_t max_frame_bytes = 0;  // a peer that announces more loses its connection
  int sent_messages = 0;            // queued per connection; 0: no limit
  int received_messages = 0;        // queued per connection; beyond it TCP slows the sender down
  std::chrono::milliseconds linger{0};
};

void set_limits(zmq::socket_ref socket, const SocketLimits& limits);

// This side proves `keys`; the other end is let in by the ZAP domain. libzmq lets everybody in
// while a context has no ZAP handler: messages without a verified_key() must be dropped.
void set_curve_server(zmq::socket_ref socket, const CurveKeyPair& keys, const std::string& domain);
// This side proves `keys`; the other end has to prove `server_key`.
void set_curve_client(zmq::socket_ref socket, const CurveKeyPair& keys,
                      const std::string& server_key);

// Control connections: small messages, so ZeroMQ's own heartbeat finds a dead peer, in a minute.
void set_heartbeat(zmq::socket_ref socket);
// Tensor connections: one message may take minutes on a slow link, and ZeroMQ counts only whole
// messages as a sign of life; TCP sees every segment, so it is TCP that finds a dead peer.
void set_tcp_liveness(zmq::socket_ref socket);

// kResource if the address is taken, else kConfiguration; the message names address and remedy.
[[nodiscard]] Result<void> bind_socket(zmq::socket_ref socket, const std::string& address);
[[nodiscard]] Result<void> connect_socket(zmq::socket_ref socket, const std::string& address);

}  // namespace longhaul::proto
