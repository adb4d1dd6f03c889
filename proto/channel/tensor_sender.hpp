// What one worker still owes another: messages that wait, and fragments that are on their way until
// the other acknowledges them. Decides what goes next, and on which connection. No sockets, no
// clock: it is told the time.
#pragma once

#include "proto/channel/link_meter.hpp"
#include "proto/channel/tensor_frames.hpp"
#include "proto/tensor.pb.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

namespace longhaul::proto {

// Pieces of payloads to put on the wire together.
struct OutgoingFragments {
  std::uint32_t lane = 0;
  wire::Fragments headers;
  std::vector<Payload> pieces;  // one for each header; their owners keep the whole payloads
};

class TensorSender {
 public:
  // Puts fragments on a lane's connection; false: it has none.
  using Put = std::function<bool(OutgoingFragments)>;

  explicit TensorSender(std::uint32_t max_lanes) : max_lanes_(max_lanes), lanes_(max_lanes + 1) {}

  void push(wire::TensorHeader header, Payload payload);
  void set_credit(std::uint64_t bytes) { credit_ = bytes; }

  // A connection of this lane is there, for the first time or again: what was on its way on the
  // former one goes out anew. lane: 1 to max_lanes.
  void lane_up(std::uint32_t lane, std::uint64_t connection);
  // What was on its way there goes out anew, on whichever lane comes first.
  void lane_down(std::uint32_t lane);

  // Enough waits to go out together: no need to wait for more.
  [[nodiscard]] bool has_plenty() const { return unsent_bytes_ >= piece_bytes(); }
  // Sends what window and credit let through.
  void pump(std::int64_t now_us, const Put& put);
  // Removes what was received, measures, grants credit. False: the peer claims what it cannot have.
  [[nodiscard]] bool on_status(const wire::LinkStatus& status);

  [[nodiscard]] LinkMeter& meter() { return meter_; }
  [[nodiscard]] const LinkMeter& meter() const { return meter_; }
  // Payload bytes that the peer has not acknowledged, queued or on their way.
  [[nodiscard]] std::uint64_t bytes_waiting() const { return bytes_waiting_; }
  [[nodiscard]] bool idle() const { return waiting_.empty() && again_.empty() && in_flight_ == 0; }
  // How many connections this direction could use now; 1 to max_lanes.
  [[nodiscard]] std::uint32_t wanted_lanes() const { return wanted_; }
  // Looks whether more connections carry more; to be called every now and then.
  void consider_lanes(std::int64_t now_us);

 private:
  struct Message {
    wire::TensorHeader header;
    Payload payload;
    std::uint64_t next_offset = 0;
  };
  struct Piece {
    std::shared_ptr<const Message> message;
    std::uint64_t offset = 0;
    std::uint64_t bytes = 0;
    std::uint64_t checksum = 0;
    std::int64_t sent_us = 0;
  };
  struct Lane {
    bool up = false;
    std::uint64_t connection = 0;
    std::uint64_t acknowledged = 0;
    std::uint64_t in_flight = 0;
    std::uint64_t allowance = 0;  // for in_flight
    std::deque<Piece> pieces;     // on their way, in order
  };
  // How the number of lanes is found: twice as many, as long as that carries clearly more.
  struct Trial {
    double goodput_before = 0.0;  // with half as many
    std::int64_t warmed_us = 0;
    std::int64_t lasted_us = 0;
    std::uint64_t bytes = 0;
  };

  [[nodiscard]] std::uint64_t window() const;
  [[nodiscard]] std::uint64_t piece_bytes() const;
  [[nodiscard]] Lane* best_lane(std::uint32_t& number);
  [[nodiscard]] std::optional<Piece> next_piece(std::uint64_t at_most);
  [[nodiscard]] static wire::Fragment header_of(const Piece& piece);
  [[nodiscard]] bool saturated() const { return !waiting_.empty() || !again_.empty(); }

  std::uint32_t max_lanes_;
  std::vector<Lane> lanes_;                       // 0 is not for fragments
  std::deque<std::shared_ptr<Message>> waiting_;  // the first may be half on its way
  std::deque<Piece> again_;                       // lost with a connection, or never taken by it
  std::uint64_t in_flight_ = 0;
  std::uint64_t unsent_bytes_ = 0;   // of waiting_
  std::uint64_t bytes_waiting_ = 0;  // these, and what is on its way
  std::uint64_t acknowledged_bytes_ = 0;
  std::uint64_t credit_ = 0;
  std::uint64_t begun_bytes_ = 0;  // of messages begun, with their overhead
  std::uint64_t used_bytes_ = 0;   // as the peer says
  std::uint32_t wanted_ = 1;
  Trial trial_;
  std::int64_t settled_us_ = 0;  // 0: on trial
  double settled_goodput_ = 0.0;
  std::int64_t looked_us_ = 0;
  std::uint64_t looked_bytes_ = 0;
  bool was_saturated_ = false;
  LinkMeter meter_;
};

}  // namespace longhaul::proto
