// What ZeroMQ carries between two workers: a LinkFrame, and the bytes of fragments beside it.
// A payload goes out in pieces without a copy. In pieces, because ZeroMQ encrypts, sends and
// decrypts a frame only as a whole: while one is on the wire the next is encrypted and the last
// decrypted, so that a large message arrives in about half the time; because pieces can take
// several connections; because a lost connection costs only what was on its way; and because a
// stranger need not be allowed frames of any size.
#pragma once

#include "proto/channel/tensor_channel.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <zmq.hpp>

namespace longhaul::proto {

inline constexpr std::size_t kMaxFragmentBytes = 1u << 20;
// Messages that wait go out together, in one ZeroMQ message: the receiver is woken once for all.
inline constexpr int kMaxFragmentsTogether = 64;
// A single fragment up to this size travels in the LinkFrame's own ZeroMQ frame: copying it costs
// less than a second frame does. Frame: length of the LinkFrame (4 bytes, little endian),
// LinkFrame, zeros up to a multiple of 16, fragment.
inline constexpr std::size_t kMaxInlineBytes = 128u << 10;
// A message counts for this much more than its payload, so that empty ones count too.
inline constexpr std::uint64_t kMessageOverheadBytes = 512;

// `piece`: to be carried inside, or null.
[[nodiscard]] zmq::message_t link_frame(const wire::LinkFrame& frame, const Payload* piece);
// Refers to the bytes, and shares their owner until ZeroMQ is done.
[[nodiscard]] zmq::message_t piece_frame(const Payload& piece);

// A frame as it came, cut into its parts; an error if its length says what cannot be.
struct FrameParts {
  std::span<const std::byte> link_frame;
  std::span<const std::byte> piece;  // empty: there is none inside
};
[[nodiscard]] Result<FrameParts> parts_of(std::span<const std::byte> frame);
// Decodes a LinkFrame that a peer sent; checks what does not depend on the link, the header of a
// message with check_tensor_header().
[[nodiscard]] Result<wire::LinkFrame> link_frame_from_wire(std::span<const std::byte> frame);
// Whether sums and differences of a frame's times cannot overflow, and its arrivals are not too
// many.
[[nodiscard]] bool sound_times(const wire::LinkFrame& frame);
// Known kind and element type, at most 8 extents, all positive, element count bounded, name at most
// 512 bytes. Never trusts the payload.
[[nodiscard]] Result<void> check_tensor_header(const wire::TensorHeader& header);

struct IncomingFrames {
  std::string routing_id;                               // of a ROUTER's peer
  std::string public_key;                               // of a ROUTER's peer, as CURVE proved it
  int descriptor = -1;                                  // of the connection
  std::shared_ptr<zmq::message_t> frame;                // null: no message of ours
  std::vector<std::shared_ptr<zmq::message_t>> pieces;  // the frames after it
  bool more = false;                                    // there were too many: no message of ours
};
// Empty if nothing waits.
[[nodiscard]] std::optional<IncomingFrames> receive_frames(zmq::socket_ref socket,
                                                           bool from_router);

struct DecodedFrames {
  wire::LinkFrame frame;
  std::vector<Payload> pieces;  // one for each fragment; they keep ZeroMQ's frames
};
// Requires frames.frame. What link_frame_from_wire() checks, and that there are as many pieces as
// fragments.
[[nodiscard]] Result<DecodedFrames> decode_frames(const IncomingFrames& frames);

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

}  // namespace longhaul::proto
