// What one worker has of another's messages: pieces that came, until they are whole and it is their
// turn. No sockets, no clock: it is told the time. Whatever the peer says is checked.
#pragma once

#include "proto/channel/link_meter.hpp"
#include "proto/channel/tensor_frames.hpp"
#include "proto/error.hpp"
#include "proto/ids.hpp"
#include "proto/tensor.pb.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace longhaul::proto {

class TensorReceiver {
 public:
  struct Limits {
    std::size_t max_payload_bytes = kMaxTensorPayloadBytes;
    std::uint64_t credit_bytes = 0;
    std::uint32_t max_lanes = 1;
  };
  struct Message {
    wire::TensorHeader header;
    Payload payload;
  };

  TensorReceiver(StageIndex peer, PlanEpoch epoch, Limits limits, PayloadMemory& memory)
      : peer_(peer),
        epoch_(epoch),
        limits_(limits),
        memory_(&memory),
        lanes_(limits.max_lanes + 1) {}

  // From now on this connection is the lane's.
  void lane_up(std::uint32_t lane, std::uint64_t connection);

  // A piece that came on a lane's connection. What it completes is appended to `complete`, in the
  // order of sending. An error: the peer breaks the rules; it names the tensor where it is known.
  [[nodiscard]] Result<void> on_fragment(std::uint32_t lane, wire::Fragment header, Payload piece,
                                         std::int64_t now_us, std::vector<Message>& complete);

  // A frame on lane 0.
  void on_status_frame(std::int64_t sent_us, std::int64_t now_us);
  // The messages of these payload bytes were used.
  void on_used(std::uint64_t payload_bytes) {
    used_bytes_ += payload_bytes + kMessageOverheadBytes;
  }

  // What to tell the peer; nothing of it is told twice but for totals.
  [[nodiscard]] wire::LinkStatus status(std::int64_t now_us);
  // Something came, or was used, that the peer wants to know of soon; or at once, since it may be
  // waiting for room.
  [[nodiscard]] bool has_news() const { return news_ || has_urgent_news(); }
  [[nodiscard]] bool has_urgent_news() const {
    return untold_bytes_ >= kUrgentBytes || used_bytes_ - told_used_ >= limits_.credit_bytes / 8;
  }

 private:
  static constexpr std::uint64_t kUrgentBytes = 2u << 20;

  struct Assembly {
    std::optional<wire::TensorHeader> header;
    std::uint64_t payload_bytes = 0;
    std::uint64_t arrived_bytes = 0;
    bool any = false;                               // a piece, maybe an empty one
    std::map<std::uint64_t, std::uint64_t> pieces;  // offset to length
    std::shared_ptr<std::byte> gathered;
    Payload whole;  // where one piece is the payload
    [[nodiscard]] bool complete() const { return header && any && arrived_bytes == payload_bytes; }
  };
  struct Lane {
    bool up = false;
    std::uint64_t connection = 0;
    std::uint64_t received = 0;
    std::vector<std::int64_t> arrivals_us;  // not told yet
  };

  [[nodiscard]] Result<Assembly*> assembly_of(const wire::Fragment& piece);
  [[nodiscard]] Result<void> check_header(const wire::Fragment& piece) const;
  [[nodiscard]] Result<void> place(Assembly& assembly, std::uint64_t offset, Payload piece);
  [[nodiscard]] bool forgiven(const wire::Fragment& piece);
  [[nodiscard]] Error refused(const wire::Fragment& piece, const std::string& what) const;

  StageIndex peer_;
  PlanEpoch epoch_;
  Limits limits_;
  PayloadMemory* memory_;
  std::vector<Lane> lanes_;
  std::map<std::uint64_t, Assembly> arriving_;  // by sequence; from next_ on
  std::uint64_t next_ = 0;                      // the next message to complete
  // Pieces of which the repetition came: the original, on a connection that was lost, may follow.
  std::set<std::pair<std::uint64_t, std::uint64_t>> repeated_;  // sequence, offset
  std::uint64_t begun_bytes_ = 0;
  std::uint64_t used_bytes_ = 0;
  std::uint64_t told_used_ = 0;
  std::uint64_t largest_ = 0;  // message so far
  RecentLeast transits_;
  std::optional<std::int64_t> last_status_sent_us_;
  std::int64_t last_status_came_us_ = 0;
  bool news_ = false;
  std::uint64_t untold_bytes_ = 0;  // arrived since the last status
};

}  // namespace longhaul::proto
