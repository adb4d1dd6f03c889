// Control messages (wire::Envelope) over ZeroMQ CURVE, on an Asio loop. A ControlServer listens
// (ROUTER), ControlClients dial (DEALER). Every function and callback runs on the loop's thread,
// or before the loop runs and after it stopped; neither may be destroyed from within a callback.
#pragma once

#include "proto/channel/curve_key.hpp"
#include "proto/control.pb.h"
#include "proto/error.hpp"

#include <boost/asio/io_context.hpp>

#include <cstddef>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace zmq {
class context_t;
}

namespace longhaul::proto {

inline constexpr std::size_t kMaxControlMessageBytes = 64u << 20;

// Decodes a frame that a peer sent; an error (kInternal) if it is too large or does not parse.
[[nodiscard]] Result<wire::Envelope> envelope_from_wire(std::span<const std::byte> frame);

// Who sits at the other end, as CURVE proved it.
struct ControlPeer {
  std::string connection;  // opaque; valid until the peer reconnects
  std::string public_key;  // Z85

  bool operator==(const ControlPeer&) const = default;
};

class ControlServer {
 public:
  struct Options {
    std::string bind{};  // "tcp://127.0.0.1:*", "tcp://0.0.0.0:7070", "ipc:///path"
    CurveKeyPair keys{};
    // Asked for every handshake with the peer's public key; false refuses the connection. None:
    // nobody gets in.
    std::function<bool(const std::string& public_key)> allow{};
    // A message that does not parse, or is too large, is dropped before it reaches this.
    std::function<void(const ControlPeer&, wire::Envelope)> on_message{};
  };

  // kResource if the port is in use: the message names the address and what to change.
  [[nodiscard]] static Result<std::unique_ptr<ControlServer>> open(zmq::context_t& context,
                                                                   boost::asio::io_context& loop,
                                                                   Options options);
  ~ControlServer();
  ControlServer(const ControlServer&) = delete;
  ControlServer& operator=(const ControlServer&) = delete;

  [[nodiscard]] std::string endpoint() const;  // with the port that the system chose
  // False if the peer is gone or too slow (its queue of 10,000 messages is full), or if the message
  // is larger than kMaxControlMessageBytes.
  bool send(const ControlPeer& to, const wire::Envelope& message);

 private:
  class Impl;
  explicit ControlServer(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

class ControlClient {
 public:
  struct Options {
    std::string endpoint{};
    std::string server_key{};  // Z85
    CurveKeyPair keys{};
    std::function<void(wire::Envelope)> on_message{};
    // The transport's connection: true after a handshake; false when the server cannot be reached,
    // does not know this key, does not hold server_key, or was lost. `reason` says which, and the
    // way out; the same news is told once. It dials again by itself in every case, 5 s after a
    // refusal (what was sent before that is lost then), else at once.
    std::function<void(bool connected, std::string reason)> on_connection{};
  };

  [[nodiscard]] static Result<std::unique_ptr<ControlClient>> open(zmq::context_t& context,
                                                                   boost::asio::io_context& loop,
                                                                   Options options);
  ~ControlClient();
  ControlClient(const ControlClient&) = delete;
  ControlClient& operator=(const ControlClient&) = delete;

  // Waits for the connection inside ZeroMQ. False if the queue is full, if the message is larger
  // than kMaxControlMessageBytes, or while the server refuses this key.
  bool send(const wire::Envelope& message);

 private:
  class Impl;
  explicit ControlClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace longhaul::proto
