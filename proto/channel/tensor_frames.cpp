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

constexpr std::align_val_t kGatheredAlignment{64};
constexpr std::size_t kMaxKeptBytes = 64u << 20;
constexpr std::size_t kLengthBytes = 4;

std::size_t padded(std::size_t bytes) { return (bytes + 15) / 16 * 16; }

void release_owner(void*, void* hint) {
  const std::unique_ptr<std::shared_ptr<const void>> owner(
      static_cast<std::shared_ptr<const void>*>(hint));
}

}  // namespace

zmq::message_t link_frame(const wire::LinkFrame& frame, const Payload* piece) {
  const std::size_t bytes = frame.ByteSizeLong();
  LONGHAUL_ASSERT(bytes <= kMaxTensorHeaderBytes);
  const std::size_t inside = piece == nullptr ? 0 : piece->bytes.size();
  const std::size_t before = inside == 0 ? kLengthBytes + bytes : padded(kLengthBytes + bytes);
  zmq::message_t message(before + inside);
  auto* out = message.data<std::byte>();
  for (std::size_t i = 0; i < kLengthBytes; ++i) {
    out[i] = static_cast<std::byte>(bytes >> (8 * i) & 0xff);
  }
  LONGHAUL_ASSERT(frame.SerializeToArray(out + kLengthBytes, static_cast<int>(bytes)));
  std::memset(out + kLengthBytes + bytes, 0, before - kLengthBytes - bytes);
  if (inside > 0) std::memcpy(out + before, piece->bytes.data(), inside);
  return message;
}

Result<FrameParts> parts_of(std::span<const std::byte> frame) {
  std::size_t bytes = 0;
  for (std::size_t i = 0; i < kLengthBytes && frame.size() >= kLengthBytes; ++i) {
    bytes |= std::to_integer<std::size_t>(frame[i]) << (8 * i);
  }
  const std::size_t room = frame.size() < kLengthBytes ? 0 : frame.size() - kLengthBytes;
  if (frame.size() < kLengthBytes || bytes > room || bytes > kMaxTensorHeaderBytes) {
    return Error{
        ErrorKind::kInternal,
        fmt::format("tensor header refused: {} bytes in a frame of {}; at most {} are taken", bytes,
                    frame.size(), kMaxTensorHeaderBytes)};
  }
  FrameParts parts{.link_frame = frame.subspan(kLengthBytes, bytes), .piece = {}};
  if (bytes == room) return parts;
  const std::size_t before = padded(kLengthBytes + bytes);
  if (before >= frame.size() || frame.size() - before > kMaxInlineBytes) {
    return Error{ErrorKind::kInternal,
                 fmt::format("tensor header refused: {} bytes beside it in a frame", room - bytes)};
  }
  parts.piece = frame.subspan(before);
  return parts;
}

zmq::message_t piece_frame(const Payload& piece) {
  if (piece.bytes.empty()) return {};
  auto owner = std::make_unique<std::shared_ptr<const void>>(piece.owner);
  // ZeroMQ's interface is not const, but it only reads.
  zmq::message_t message(const_cast<std::byte*>(piece.bytes.data()), piece.bytes.size(),
                         &release_owner, owner.get());
  owner.release();
  return message;
}

std::optional<IncomingFrames> receive_frames(zmq::socket_ref socket, bool from_router) {
  IncomingFrames frames;
  zmq::message_t frame;
  if (!receive_frame(socket, frame)) return std::nullopt;
  if (from_router) {
    frames.routing_id = frame.to_string();
    if (!frame.more() || !receive_frame(socket, frame)) return frames;
    frames.public_key = verified_key(frame);
    frames.descriptor = zmq_msg_get(frame.handle(), ZMQ_SRCFD);
  }
  bool more = frame.more();
  frames.frame = std::make_shared<zmq::message_t>(std::move(frame));
  while (more && frames.pieces.size() < kMaxFragmentsTogether) {
    auto piece = std::make_shared<zmq::message_t>();
    if (!receive_frame(socket, *piece)) return frames;
    more = piece->more();
    frames.pieces.push_back(std::move(piece));
  }
  if (more) frames.more = drop_rest_of_message(socket, *frames.pieces.back());
  return frames;
}

Result<DecodedFrames> decode_frames(const IncomingFrames& frames) {
  const auto parts = parts_of({frames.frame->data<std::byte>(), frames.frame->size()});
  if (parts.has_error()) return parts.error();
  auto frame = link_frame_from_wire(parts.value().link_frame);
  if (frame.has_error()) return frame.error();
  DecodedFrames received{.frame = std::move(frame).value(), .pieces = {}};
  const auto fragments = static_cast<std::size_t>(received.frame.fragments().fragments_size());
  if (received.frame.has_fragments() && fragments == 0) {
    return Error{ErrorKind::kInternal, "tensor header refused: no fragments"};
  }
  const std::span<const std::byte> inside = parts.value().piece;
  if (frames.pieces.empty() && fragments == 1) {
    received.pieces.push_back({inside, frames.frame});
    return received;
  }
  if (!inside.empty() || frames.pieces.size() != fragments) {
    return Error{ErrorKind::kInternal,
                 fmt::format("tensor header refused: {} fragments in {} frames{}", fragments,
                             frames.pieces.size(), inside.empty() ? "" : " and one inside")};
  }
  for (const auto& piece : frames.pieces) {
    received.pieces.push_back({{piece->data<std::byte>(), piece->size()}, piece});
  }
  return received;
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

}  // namespace longhaul::proto
