// The worker's socket to other workers: one CURVE ROUTER that accepts, one CURVE DEALER per peer
// that this worker dials. Ordered per peer; payloads travel without a copy of ours. Every function
// and callback runs on the loop's thread, or before the loop runs and after it stopped; the channel
// may not be destroyed from within a callback.
#pragma once

#include "proto/channel/curve_key.hpp"
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

// Bytes and whatever keeps them alive. Sent: released (on any thread) once ZeroMQ is done with
// them; must not change until then. Received: data is aligned to at least 8 bytes; up to 256 KiB
// lie where ZeroMQ decrypted them, larger ones are gathered from fragments of that size, a copy
// each.
struct Payload {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

// Decodes and checks a header frame that a peer sent: known kind and element type, at most 8
// extents, all positive, element count bounded, name at most 512 bytes. Never trusts the payload.
[[nodiscard]] Result<wire::TensorHeader> tensor_header_from_wire(std::span<const std::byte> frame);

class TensorChannel {
 public:
  struct Options {
    std::string bind_host{};       // "127.0.0.1"; the port is the system's choice
    std::string advertise_host{};  // what endpoint() names; empty: bind_host
    StageIndex self{};
    PlanEpoch epoch{};
    CurveKeyPair keys{};
    std::size_t max_payload_bytes = kMaxTensorPayloadBytes;
    // A peer that was named by accept() or dial() and has not linked after this: on_error, kLost.
    std::chrono::milliseconds link_timeout{60'000};
    // How long closing the context may wait for messages that ZeroMQ took and has not yet sent.
    std::chrono::milliseconds linger{5'000};
    // A message of this epoch from an allowed peer, in order. `header.from_stage` is verified
    // against the peer's key, and the payload's checksum. Codec and shape are the receiver's to
    // check.
    std::function<void(wire::TensorHeader, Payload)> on_message{};
    // Peer introduced itself and was answered: messages flow both ways.
    std::function<void(StageIndex)> on_linked{};
    // A frame that was refused, a lost sequence number, a lost connection (kLost): the link cannot
    // be trusted any more. Told once; afterwards nothing is received from this peer, and what is
    // sent to it is dropped.
    std::function<void(StageIndex, Error)> on_error{};
  };

  [[nodiscard]] static Result<std::unique_ptr<TensorChannel>> open(zmq::context_t& context,
                                                                   boost::asio::io_context& loop,
                                                                   Options options);
  ~TensorChannel();
  TensorChannel(const TensorChannel&) = delete;
  TensorChannel& operator=(const TensorChannel&) = delete;

  [[nodiscard]] std::string endpoint() const;

  // Before linking: whom to expect (they dial) and whom to dial, each peer once. A dialler that is
  // refused because accept() has not been called yet tries again. HELLO and HELLO_REPLY are the
  // channel's own business.
  void accept(StageIndex peer, const std::string& public_key);
  [[nodiscard]] Result<void> dial(StageIndex peer, const std::string& endpoint,
                                  const std::string& public_key);

  // Fills in epoch, sequence, from_stage, payload_bytes and checksum. Requires a linked peer.
  // Never blocks and never refuses: what the network does not take at once waits in ZeroMQ, in
  // order, in the payload's own memory.
  void send(StageIndex peer, wire::TensorHeader header, Payload payload);

  // Header and payload bytes handed over so far, and those among them that ZeroMQ still holds: not
  // yet encrypted and on their way. Before it destroys the channel in good order, a sender waits
  // for 0; the linger covers what is left in the operating system's hands.
  [[nodiscard]] std::uint64_t bytes_sent(StageIndex peer) const;
  [[nodiscard]] std::uint64_t bytes_waiting(StageIndex peer) const;

 private:
  class Impl;
  explicit TensorChannel(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace longhaul::proto
