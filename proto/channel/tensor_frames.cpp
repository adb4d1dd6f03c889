// Hands memory to ZeroMQ without copying it, and puts together what arrives in fragments.
#include "proto/channel/tensor_frames.hpp"

#include "proto/assert.hpp"
#include "proto/channel/socket_calls.hpp"
#include "proto/channel/zap_authenticator.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace longhaul::proto {
namespace {

constexpr std::size_t kWrappedAlignment = 8;
constexpr std::align_val_t kGatheredAlignment{64};

// What ZeroMQ drops once it is done with a fragment.
struct Held {
  std::shared_ptr<const void> owner;
  BytesHeld held;
  std::uint64_t bytes = 0;

  static void release(void*, void* hint) {
    const std::unique_ptr<Held> self(static_cast<Held*>(hint));
    self->held->fetch_sub(self->bytes, std::memory_order_relaxed);
  }
};

std::shared_ptr<std::byte> allocate(std::size_t bytes) {
  void* memory = ::operator new(bytes, kGatheredAlignment, std::nothrow);
  if (memory == nullptr) return nullptr;
  return {static_cast<std::byte*>(memory),
          [](std::byte* gone) { ::operator delete(gone, kGatheredAlignment); }};
}

}  // namespace

zmq::message_t header_frame(const wire::TensorHeader& header) {
  const std::size_t bytes = header.ByteSizeLong();
  LONGHAUL_ASSERT(bytes <= kMaxTensorHeaderBytes);
  zmq::message_t frame(bytes);
  LONGHAUL_ASSERT(header.SerializeToArray(frame.data(), static_cast<int>(bytes)));
  return frame;
}

zmq::message_t fragment_frame(const Payload& payload, std::size_t offset, const BytesHeld& held) {
  const std::size_t bytes = std::min(kFragmentBytes, payload.bytes.size() - offset);
  if (bytes == 0) return {};
  held->fetch_add(bytes, std::memory_order_relaxed);
  auto hint = std::make_unique<Held>(Held{payload.owner, held, bytes});
  // ZeroMQ's interface is not const, but it only reads.
  zmq::message_t frame(const_cast<std::byte*>(payload.bytes.data() + offset), bytes, &Held::release,
                       hint.get());
  hint.release();
  return frame;
}

std::optional<IncomingFrames> receive_frames(zmq::socket_ref socket, bool from_router) {
  IncomingFrames frames;
  auto frame = std::make_shared<zmq::message_t>();
  if (!receive_frame(socket, *frame)) return std::nullopt;
  if (from_router) {
    frames.routing_id = frame->to_string();
    if (!frame->more() || !receive_frame(socket, *frame)) return frames;
    frames.public_key = verified_key(*frame);
    frames.descriptor = zmq_msg_get(frame->handle(), ZMQ_SRCFD);
  }
  if (frame->more()) {
    frames.header = std::move(*frame);
    if (!receive_frame(socket, *frame)) return frames;
  }
  if (!drop_rest_of_message(socket, *frame)) frames.fragment = std::move(frame);
  return frames;
}

Result<PayloadAssembly> PayloadAssembly::begin(wire::TensorHeader header) {
  PayloadAssembly assembly;
  const std::size_t bytes = header.payload_bytes();
  if (bytes > kFragmentBytes) {
    assembly.gathered_ = allocate(bytes);
    if (!assembly.gathered_) {
      return Error{ErrorKind::kResource, fmt::format("no memory for a payload of {} bytes", bytes)};
    }
  }
  assembly.header = std::move(header);
  return assembly;
}

Result<void> PayloadAssembly::add(std::shared_ptr<zmq::message_t> fragment) {
  const std::size_t bytes = header.payload_bytes();
  const std::size_t expected = std::min(kFragmentBytes, bytes - filled_);
  if (fragment->size() != expected) {
    return Error{ErrorKind::kInternal, fmt::format("fragment of {} bytes in place of {}",
                                                   fragment->size(), expected)};
  }
  const auto* data = fragment->data<std::byte>();
  complete_ = filled_ + expected == bytes;
  if (!gathered_) {
    if (reinterpret_cast<std::uintptr_t>(data) % kWrappedAlignment == 0) {
      payload = {{data, expected}, std::move(fragment)};
      return {};
    }
    gathered_ = allocate(bytes);
    if (!gathered_) return Error{ErrorKind::kResource, "no memory for a payload"};
  }
  std::memcpy(gathered_.get() + filled_, data, expected);
  filled_ += expected;
  if (complete_) payload = {{gathered_.get(), bytes}, std::move(gathered_)};
  return {};
}

}  // namespace longhaul::proto
