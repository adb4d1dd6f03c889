// The rules of a link: introduction first, on every connection; one epoch, one session.
#include "proto/channel/tensor_link.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

namespace longhaul::proto {
namespace {

std::uint64_t random_session() {
  std::random_device random;
  return std::uint64_t{random()} << 32 | random();
}

}  // namespace

TensorLink::TensorLink(LinkEnds link_ends, TensorReceiver::Limits limits, PayloadMemory& memory)
    : ends(link_ends),
      sender(limits.max_lanes),
      receiver(link_ends.peer, link_ends.epoch, limits, memory),
      credit_bytes(limits.credit_bytes),
      lanes(limits.max_lanes + 1),
      session(random_session()) {}

Error TensorLink::broken(const std::string& what) const {
  return {ErrorKind::kInternal, fmt::format("stage {} {}", ends.peer.value, what)};
}

void TensorLink::send(wire::TensorHeader header, Payload payload) {
  header.set_epoch(ends.epoch.value);
  header.set_from_stage(ends.self.value);
  header.set_sequence(next_sequence++);
  bytes_sent += header.ByteSizeLong() + payload.bytes.size();
  sender.push(std::move(header), std::move(payload));
}

wire::Introduction TensorLink::introduction(std::uint32_t lane) const {
  wire::Introduction ours;
  ours.set_stage(ends.self.value);
  ours.set_epoch(ends.epoch.value);
  ours.set_session(session);
  ours.set_lane(lane);
  ours.set_connection(lanes[lane].number);
  ours.set_credit_bytes(credit_bytes);
  return ours;
}

Result<void> TensorLink::check(const wire::Introduction& theirs) {
  if (theirs.stage() != ends.peer.value) {
    return Error{ErrorKind::kInternal,
                 fmt::format("the peer with the key of stage {} speaks as stage {}",
                             ends.peer.value, theirs.stage())};
  }
  if (theirs.epoch() != ends.epoch.value) {
    return Error{
        ErrorKind::kInternal,
        fmt::format("stage {} is at epoch {} of the plan, stage {} at epoch {}: one of them "
                    "missed a change of plan",
                    ends.peer.value, theirs.epoch(), ends.self.value, ends.epoch.value)};
  }
  if (theirs.lane() >= lanes.size()) {
    return broken(
        fmt::format("introduced connection {} of at most {}", theirs.lane(), lanes.size() - 1));
  }
  if (their_session && *their_session != theirs.session()) {
    return Error{ErrorKind::kLost,
                 fmt::format("stage {} introduced itself anew: its former self is gone, and with "
                             "it what it had received",
                             ends.peer.value)};
  }
  their_session = theirs.session();
  sender.set_credit(theirs.credit_bytes());
  return {};
}

void TensorLink::lane_up(std::uint32_t lane, std::int64_t now_us) {
  LaneConnection& connection = lanes[lane];
  connection.up = true;
  connection.disconnected = false;
  connection.heard_us = now_us;
  if (lane == kStatusLane) return;
  sender.lane_up(lane, connection.number);
  receiver.lane_up(lane, connection.number);
}

void TensorLink::lane_down(std::uint32_t lane) {
  LaneConnection& connection = lanes[lane];
  connection.up = false;
  connection.disconnected = false;
  if (lane != kStatusLane) sender.lane_down(lane);
}

bool TensorLink::complete() const { return lanes[kStatusLane].up && fragment_lanes_up() > 0; }

std::uint32_t TensorLink::fragment_lanes_up() const {
  return static_cast<std::uint32_t>(
      std::count_if(lanes.begin() + 1, lanes.end(), [](const auto& lane) { return lane.up; }));
}

}  // namespace longhaul::proto
