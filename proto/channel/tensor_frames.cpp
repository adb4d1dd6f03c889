// Hands memory to ZeroMQ and takes it back without copying it.
#include "proto/channel/tensor_frames.hpp"

#include "proto/assert.hpp"
#include "proto/channel/socket_calls.hpp"
#include "proto/channel/zap_authenticator.hpp"

#include <cstring>
#include <utility>

namespace longhaul::proto {
namespace {

constexpr std::size_t kAlignment = 8;

// What ZeroMQ drops once it is done with a payload.
struct Held {
  std::shared_ptr<const void> owner;
  BytesHeld held;
  std::uint64_t bytes = 0;

  static void release(void*, void* hint) {
    const std::unique_ptr<Held> self(static_cast<Held*>(hint));
    self->held->fetch_sub(self->bytes, std::memory_order_relaxed);
  }
};

zmq::message_t frame_of(Payload payload, std::uint64_t bytes, const BytesHeld& held) {
  static std::byte nothing{};
  // ZeroMQ's interface is not const, but it only reads.
  void* data = payload.bytes.empty() ? &nothing : const_cast<std::byte*>(payload.bytes.data());
  held->fetch_add(bytes, std::memory_order_relaxed);
  auto hint = std::make_unique<Held>(Held{std::move(payload.owner), held, bytes});
  zmq::message_t frame(data, payload.bytes.size(), &Held::release, hint.get());
  hint.release();
  return frame;
}

Payload payload_of(std::shared_ptr<zmq::message_t> frame) {
  const auto* data = frame->data<std::byte>();
  const std::size_t size = frame->size();
  if (reinterpret_cast<std::uintptr_t>(data) % kAlignment == 0) {
    return {{data, size}, std::move(frame)};
  }
  // An array of std::byte from new is aligned for every fundamental type.
  std::shared_ptr<std::byte[]> copy(new std::byte[size]);
  std::memcpy(copy.get(), data, size);
  return {{copy.get(), size}, copy};
}

}  // namespace

OutgoingFrames outgoing_frames(const wire::TensorHeader& header, Payload payload,
                               const BytesHeld& held) {
  OutgoingFrames frames;
  const std::size_t header_bytes = header.ByteSizeLong();
  LONGHAUL_ASSERT(header_bytes <= kMaxTensorHeaderBytes);
  frames.header.rebuild(header_bytes);
  LONGHAUL_ASSERT(header.SerializeToArray(frames.header.data(), static_cast<int>(header_bytes)));
  frames.bytes = header_bytes + payload.bytes.size();
  frames.payload = frame_of(std::move(payload), frames.bytes, held);
  return frames;
}

std::optional<IncomingFrames> receive_frames(zmq::socket_ref socket, bool from_router) {
  IncomingFrames frames;
  if (!receive_frame(socket, frames.header)) return std::nullopt;
  if (from_router) {
    frames.routing_id = frames.header.to_string();
    if (!frames.header.more() || !receive_frame(socket, frames.header)) return frames;
    frames.public_key = verified_key(frames.header);
    frames.descriptor = zmq_msg_get(frames.header.handle(), ZMQ_SRCFD);
  }
  auto payload = std::make_shared<zmq::message_t>();
  if (!frames.header.more() || !receive_frame(socket, *payload)) return frames;
  if (!drop_rest_of_message(socket, *payload)) frames.payload = payload_of(std::move(payload));
  return frames;
}

}  // namespace longhaul::proto
