// The worker's links to other workers. A link is several CURVE connections, all made by one side
// (DEALER to ROUTER): one for status, the others for fragments of payloads. Ordered per peer,
// flow-controlled, measured, and resumed when connections are lost; payloads travel without a copy
// of ours. Every function and callback runs on the loop's thread, or before the loop runs and after
// it stopped; the channel may not be destroyed from within a callback.
#pragma once

#include "proto/channel/curve_key.hpp"
#include "proto/channel/link_meter.hpp"
#include "proto/error.hpp"
#include "proto/ids.hpp"
#include "proto/tensor.pb.h"

#include <boost/asio/io_context.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace zmq {
class context_t;
}

namespace longhaul::proto {

inline constexpr std::size_t kMaxTensorHeaderBytes = 64u << 10;
inline constexpr std::size_t kMaxTensorPayloadBytes = std::size_t{8} << 30;

// Bytes and whatever keeps them alive. Sent: released (on any thread) once the peer has them and
// ZeroMQ is done with them; must not change until then. Received: data is aligned to at least 8
// bytes; what came in one piece lies where ZeroMQ decrypted it, other payloads are gathered, a copy
// each.
struct Payload {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

// A link as it is now, seen by the side that sends on it.
struct LinkState {
  LinkMeasure measure;
  std::uint32_t connections = 0;  // that carry fragments
  std::uint32_t losses = 0;       // connections that were lost and replaced, or are to be
};

class TensorSockets;

class TensorChannel {
 public:
  struct Options {
    std::string bind_host{};       // "127.0.0.1"; the port is the system's choice
    std::string advertise_host{};  // what endpoint() names; empty: bind_host
    StageIndex self{};
    PlanEpoch epoch{};
    CurveKeyPair keys{};
    std::size_t max_payload_bytes = kMaxTensorPayloadBytes;
    // How much of messages a peer may send beyond what was used(), and one message more.
    std::uint64_t credit_bytes = std::uint64_t{256} << 20;
    // Connections for fragments, at most; more than one where that carries more.
    std::uint32_t max_lanes = 16;
    // A peer that was named by accept() or dial() and has not linked after this: on_error, kLost.
    std::chrono::milliseconds link_timeout{60'000};
    // The same for a link whose connections were lost and have not come back.
    std::chrono::milliseconds resume_timeout{30'000};
    // How long closing the context may wait for messages that ZeroMQ took and has not yet sent.
    std::chrono::milliseconds linger{5'000};
    // A message of this epoch from an allowed peer, in order. `header.from_stage` is verified
    // against the peer's key, and the payload's checksum. Codec and shape are the receiver's to
    // check.
    std::function<void(wire::TensorHeader, Payload)> on_message{};
    // Peer introduced itself and was answered: messages flow both ways.
    std::function<void(StageIndex)> on_linked{};
    // A frame that was refused, a peer that started anew, a connection that was lost and did not
    // come back (kLost): the link cannot be used any more. Told once; afterwards nothing is
    // received from this peer, and what is sent to it is dropped.
    std::function<void(StageIndex, Error)> on_error{};
    // About twice a second for every linked peer.
    std::function<void(StageIndex, const LinkState&)> on_state{};
  };

  [[nodiscard]] static Result<std::unique_ptr<TensorChannel>> open(zmq::context_t& context,
                                                                   boost::asio::io_context& loop,
                                                                   Options options);
  ~TensorChannel();
  TensorChannel(const TensorChannel&) = delete;
  TensorChannel& operator=(const TensorChannel&) = delete;

  [[nodiscard]] std::string endpoint() const;

  // Before linking: whom to expect (they dial) and whom to dial, each peer once. A dialler that is
  // refused because accept() has not been called yet tries again.
  void accept(StageIndex peer, const std::string& public_key);
  [[nodiscard]] Result<void> dial(StageIndex peer, const std::string& endpoint,
                                  const std::string& public_key);

  // Fills in epoch, sequence and from_stage. Requires a linked peer. Never blocks and never
  // refuses: what credit and network do not take at once waits, in order, in the payload's own
  // memory.
  void send(StageIndex peer, wire::TensorHeader header, Payload payload);

  // A message of this many payload bytes that on_message gave is used, or thrown away: the peer may
  // send as much again.
  void used(StageIndex peer, std::uint64_t payload_bytes);

  // Header and payload bytes handed over so far, and payload bytes that the peer has not
  // acknowledged.
  [[nodiscard]] std::uint64_t bytes_sent(StageIndex peer) const;
  [[nodiscard]] std::uint64_t bytes_waiting(StageIndex peer) const;
  [[nodiscard]] LinkState state(StageIndex peer) const;

  // Calls back, once, as soon as every peer that is not lost has acknowledged everything, or after
  // `patience`. Whoever destroys the channel in good order waits for this first.
  void when_acknowledged(std::chrono::milliseconds patience, std::function<void()> done);

 private:
  explicit TensorChannel(std::unique_ptr<TensorSockets> sockets);
  std::unique_ptr<TensorSockets> sockets_;
};

}  // namespace longhaul::proto
