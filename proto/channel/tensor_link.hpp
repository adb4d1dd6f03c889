// What one worker knows of its link to another: who that is, the connections that make the link up,
// and both directions' state. A link outlives its connections.
#pragma once

#include "proto/channel/dialling_socket.hpp"
#include "proto/channel/tensor_receiver.hpp"
#include "proto/channel/tensor_sender.hpp"
#include "proto/error.hpp"
#include "proto/ids.hpp"
#include "proto/tensor.pb.h"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace longhaul::proto {

inline constexpr std::uint32_t kStatusLane = 0;

struct LinkEnds {
  StageIndex self;
  StageIndex peer;
  PlanEpoch epoch;
};

// One connection, and the one that replaces it when it is lost.
struct LaneConnection {
  bool up = false;                          // introduced and answered
  std::uint64_t number = 0;                 // of the connection: introductions so far
  bool disconnected = false;                // what arrived before that is still to be read
  std::int64_t heard_us = 0;                // when a frame came last
  std::unique_ptr<DiallingSocket> dialler;  // this side dials
  std::string routing_id;                   // the other side dials: its connection
  int descriptor = -1;
};

struct TensorLink {
  enum class State {
    kExpected,  // named by the plan, not yet introduced
    kLinked,    // connections may be lost and come back
    kLost,      // for good: nothing is received any more, what is sent is dropped
  };

  TensorLink(LinkEnds link_ends, TensorReceiver::Limits limits, PayloadMemory& memory);

  // Numbers the next message of this side and queues it.
  void send(wire::TensorHeader header, Payload payload);

  // What this side says on a new connection of a lane, or answers.
  [[nodiscard]] wire::Introduction introduction(std::uint32_t lane) const;
  // Checks the other side's; an error means that the link cannot be trusted any more. The lane is
  // not up yet.
  [[nodiscard]] Result<void> check(const wire::Introduction& theirs);
  void lane_up(std::uint32_t lane, std::int64_t now_us);
  void lane_down(std::uint32_t lane);
  // There is a connection for status and one for fragments.
  [[nodiscard]] bool complete() const;
  [[nodiscard]] std::uint32_t fragment_lanes_up() const;
  [[nodiscard]] Error broken(const std::string& what) const;

  LinkEnds ends;
  State state = State::kExpected;
  TensorSender sender;
  TensorReceiver receiver;
  std::uint64_t credit_bytes;
  std::uint64_t next_sequence = 0;
  std::uint64_t bytes_sent = 0;
  std::vector<LaneConnection> lanes;
  bool pumps_later = false;  // a pump is scheduled
  std::uint32_t losses = 0;  // of connections
  std::uint64_t session;
  std::optional<std::uint64_t> their_session;
  std::uint32_t their_wanted_lanes = 1;
  std::string obstacle;              // why there is no connection, if that is known
  std::int64_t incomplete_since_us;  // while complete() does not hold
  std::int64_t status_sent_us = 0;

  // Of the side that dials.
  std::string endpoint;
  std::string public_key;
};

}  // namespace longhaul::proto
