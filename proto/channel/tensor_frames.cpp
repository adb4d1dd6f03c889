// Hands memory to ZeroMQ without copying it, and puts together what arrives in fragments.
#include "proto/channel/tensor_frames.hpp"

#include "proto/assert.hpp"
#include "proto/channel/socket_calls.hpp"
#include "proto/channel/zap_authenticator.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <new>
#include <utility>
#include <vector>

namespace longhaul::proto {
namespace {

constexpr std::size_t kWrappedAlignment = 8;
constexpr std::align_val_t kGatheredAlignment{64};
constexpr std::size_t kMaxKeptBytes = 64u << 20;

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

// What came back, latest last. Sizes recur: a boundary's tensor has the same shape every time.
struct PayloadMemory::Kept {
  struct Block {
    std::byte* memory;
    std::size_t bytes;
  };
  std::mutex mutex;
  std::vector<Block> blocks;
  std::size_t total = 0;

  ~Kept() {
    for (const Block& block : blocks) release(block.memory);
  }
  static void release(std::byte* memory) { ::operator delete(memory, kGatheredAlignment); }

  std::byte* take(std::size_t bytes) {
    const std::lock_guard lock(mutex);
    const auto found = std::ranges::find(blocks, bytes, &Block::bytes);
    if (found == blocks.end()) return nullptr;
    std::byte* memory = found->memory;
    blocks.erase(found);
    total -= bytes;
    return memory;
  }

  void give_back(Block block) {
    const std::lock_guard lock(mutex);
    blocks.push_back(block);
    total += block.bytes;
    while (total > kMaxKeptBytes) {
      total -= blocks.front().bytes;
      release(blocks.front().memory);
      blocks.erase(blocks.begin());
    }
  }
};

PayloadMemory::PayloadMemory() : kept_(std::make_shared<Kept>()) {}

std::shared_ptr<std::byte> PayloadMemory::take(std::size_t bytes) {
  std::byte* memory = kept_->take(bytes);
  if (memory == nullptr) {
    memory = static_cast<std::byte*>(::operator new(bytes, kGatheredAlignment, std::nothrow));
  }
  if (memory == nullptr) return nullptr;
  return {memory, [kept = std::weak_ptr(kept_), bytes](std::byte* gone) {
            if (const auto alive = kept.lock()) {
              alive->give_back({gone, bytes});
            } else {
              Kept::release(gone);
            }
          }};
}

Result<PayloadAssembly> PayloadAssembly::begin(wire::TensorHeader header, PayloadMemory& memory) {
  PayloadAssembly assembly;
  assembly.memory_ = &memory;
  const std::size_t bytes = header.payload_bytes();
  if (bytes > kFragmentBytes) {
    assembly.gathered_ = memory.take(bytes);
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
    return Error{ErrorKind::kInternal,
                 fmt::format("fragment of {} bytes in place of {}", fragment->size(), expected)};
  }
  const std::span<const std::byte> data{fragment->data<std::byte>(), expected};
  complete_ = filled_ + expected == bytes;
  checksum_.add(data);
  if (complete_ && checksum_.value() != header.checksum()) {
    return Error{
        ErrorKind::kInternal,
        fmt::format("step {}, micro-batch {}, tensor {}: the payload's checksum is wrong",
                    header.step() + 1, header.micro_batch(), proto::quoted(header.name()))};
  }
  if (!gathered_) {
    if (reinterpret_cast<std::uintptr_t>(data.data()) % kWrappedAlignment == 0) {
      payload = {data, std::move(fragment)};
      return {};
    }
    gathered_ = memory_->take(bytes);
    if (!gathered_) return Error{ErrorKind::kResource, "no memory for a payload"};
  }
  if (!data.empty()) std::memcpy(gathered_.get() + filled_, data.data(), expected);
  filled_ += expected;
  if (complete_) payload = {{gathered_.get(), bytes}, std::move(gathered_)};
  return {};
}

}  // namespace longhaul::proto
