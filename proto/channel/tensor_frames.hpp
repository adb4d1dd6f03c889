// A tensor message as ZeroMQ carries it. The first ZeroMQ message has two frames, the header and
// the first fragment of the payload; each further fragment is a message of one frame. All fragments
// but the last have kFragmentBytes, and none follows when header.payload_bytes are complete.
//
// In fragments, because ZeroMQ encrypts, sends and decrypts a frame only as a whole: while one
// fragment is on the wire the next is encrypted and the last decrypted, so that a large message
// arrives in about half the time. And a receiver need not hold, nor a stranger be allowed, frames
// of any size.
#pragma once

#include "proto/channel/tensor_channel.hpp"
#include "proto/checksum.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include <zmq.hpp>

namespace longhaul::proto {

// Fits the second-level cache together with libzmq's own copies of it.
inline constexpr std::size_t kFragmentBytes = 256u << 10;

// Bytes handed over that ZeroMQ still holds; counted down on its I/O threads.
using BytesHeld = std::shared_ptr<std::atomic<std::uint64_t>>;

[[nodiscard]] zmq::message_t header_frame(const wire::TensorHeader& header);
// Refers to the payload's bytes from `offset` on, and shares its owner until ZeroMQ is done.
[[nodiscard]] zmq::message_t fragment_frame(const Payload& payload, std::size_t offset,
                                            const BytesHeld& held);

struct IncomingFrames {
  std::string routing_id;  // of a ROUTER's peer
  std::string public_key;  // of a ROUTER's peer, as CURVE proved it
  int descriptor = -1;     // of the connection
  std::optional<zmq::message_t> header;
  std::shared_ptr<zmq::message_t> fragment;  // null: the message had neither one frame nor two
};
// Empty if nothing waits.
[[nodiscard]] std::optional<IncomingFrames> receive_frames(zmq::socket_ref socket,
                                                           bool from_router);

// Memory of payloads that arrived in fragments, used again when they are gone: the system would
// take it back and clear it page by page for every message.
class PayloadMemory {
 public:
  PayloadMemory();
  // `bytes` of them, aligned to 64; null if there are none. Comes back on any thread, also after
  // this is gone.
  [[nodiscard]] std::shared_ptr<std::byte> take(std::size_t bytes);

 private:
  struct Kept;
  std::shared_ptr<Kept> kept_;
};

// A payload on its way in. A single fragment is wrapped where it lies, if it is aligned to 8 bytes;
// else all are gathered in memory aligned to 64.
class PayloadAssembly {
 public:
  // For header.payload_bytes; kResource if there is no memory for them.
  [[nodiscard]] static Result<PayloadAssembly> begin(wire::TensorHeader header,
                                                     PayloadMemory& memory);
  // The next fragment; an error unless it is exactly as long as it has to be, and unless all of
  // them have the header's checksum.
  [[nodiscard]] Result<void> add(std::shared_ptr<zmq::message_t> fragment);
  [[nodiscard]] bool complete() const { return complete_; }

  wire::TensorHeader header;
  Payload payload;  // once complete

 private:
  PayloadMemory* memory_ = nullptr;
  Checksum checksum_;
  std::shared_ptr<std::byte> gathered_;  // null for a single fragment
  std::size_t filled_ = 0;
  bool complete_ = false;
};

}  // namespace longhaul::proto
