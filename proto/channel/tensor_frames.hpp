// The two frames of a tensor message, header and payload, as ZeroMQ holds them.
#pragma once

#include "proto/channel/tensor_channel.hpp"

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include <zmq.hpp>

namespace longhaul::proto {

// Bytes handed over that ZeroMQ still holds; counted down on its I/O threads.
using BytesHeld = std::shared_ptr<std::atomic<std::uint64_t>>;

struct OutgoingFrames {
  zmq::message_t header;
  zmq::message_t payload;  // refers to the Payload's own bytes and releases its owner
  std::size_t bytes = 0;
};
[[nodiscard]] OutgoingFrames outgoing_frames(const wire::TensorHeader& header, Payload payload,
                                             const BytesHeld& held);

struct IncomingFrames {
  std::string routing_id;  // of a ROUTER's peer
  std::string public_key;  // of a ROUTER's peer, as CURVE proved it
  int descriptor = -1;     // of the connection
  zmq::message_t header;
  std::optional<Payload> payload;  // empty: the message did not have two frames
};
// Empty if nothing waits. Wraps the payload where it lies, unless it is not aligned to 8 bytes.
[[nodiscard]] std::optional<IncomingFrames> receive_frames(zmq::socket_ref socket, bool from_router);

}  // namespace longhaul::proto
