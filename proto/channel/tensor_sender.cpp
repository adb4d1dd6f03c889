// Window, lanes, acknowledgement.
#include "proto/channel/tensor_sender.hpp"

#include "proto/assert.hpp"
#include "proto/checksum.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace longhaul::proto {
namespace {

// A fragment is about this much of the link's time: enough of them to measure a message by, few
// enough to cost nothing.
constexpr double kFragmentS = 0.005;
constexpr std::uint64_t kLeastFragmentBytes = 16u << 10;
constexpr std::uint64_t kFirstFragmentBytes = 256u << 10;
constexpr std::uint64_t kFirstWindowBytes = 4u << 20;  // while nothing is known of the link
constexpr std::uint64_t kLeastWindowBytes = 256u << 10;
constexpr double kMostWindowBytes = 4e9;
constexpr std::uint64_t kWindowFragments = 4;
// A connection that is new has TCP's first window: what it gets at once would hold up the rest of
// its message. It may have twice as much on its way with each round trip.
constexpr std::uint64_t kFirstAllowanceBytes = 64u << 10;
// Beyond bandwidth times round trip, for acknowledgements that come late.
constexpr double kWindowRoundTrips = 3.0;
constexpr double kLateS = 0.02;

constexpr std::int64_t kTrialUs = 1'000'000;
constexpr double kTrialRoundTrips = 10.0;
constexpr double kWorthIt = 1.15;
constexpr double kWorthKeeping = 1.05;
constexpr double kStillGood = 0.8;
constexpr std::int64_t kTryAgainUs = 60'000'000;
// Where a round trip is this short one connection's window is no obstacle.
constexpr std::int64_t kShortRoundTripUs = 5'000;

}  // namespace

void TensorSender::push(wire::TensorHeader header, Payload payload) {
  bytes_waiting_ += payload.bytes.size();
  unsent_bytes_ += payload.bytes.size();
  waiting_.push_back(std::make_shared<Message>(Message{std::move(header), std::move(payload), 0}));
}

void TensorSender::lane_up(std::uint32_t number, std::uint64_t connection) {
  lane_down(number);
  Lane& lane = lanes_.at(number);
  lane.up = true;
  lane.connection = connection;
  lane.acknowledged = 0;
  lane.allowance = kFirstAllowanceBytes;
}

void TensorSender::lane_down(std::uint32_t number) {
  Lane& lane = lanes_.at(number);
  lane.up = false;
  in_flight_ -= std::exchange(lane.in_flight, 0);
  again_.insert(again_.begin(), std::make_move_iterator(lane.pieces.begin()),
                std::make_move_iterator(lane.pieces.end()));
  lane.pieces.clear();
}

std::uint64_t TensorSender::piece_bytes() const {
  const double goodput = meter_.goodput();
  if (goodput == 0.0) return kFirstFragmentBytes;
  const auto wanted = static_cast<std::uint64_t>(goodput * kFragmentS);
  return std::bit_floor(
      std::clamp<std::uint64_t>(wanted, kLeastFragmentBytes, std::uint64_t{kMaxFragmentBytes}));
}

std::uint64_t TensorSender::window() const {
  const double goodput = meter_.goodput();
  if (goodput == 0.0) return kFirstWindowBytes;
  const double round_trip_s = static_cast<double>(meter_.round_trip_us().value_or(0)) * 1e-6;
  const auto wanted = static_cast<std::uint64_t>(
      std::min(kMostWindowBytes, goodput * (kWindowRoundTrips * round_trip_s + kLateS)));
  return std::max(kLeastWindowBytes, wanted + kWindowFragments * piece_bytes());
}

TensorSender::Lane* TensorSender::best_lane(std::uint32_t& number) {
  Lane* best = nullptr;
  std::uint32_t usable = 0;
  for (std::uint32_t i = 1; i <= max_lanes_ && usable < wanted_; ++i) {
    if (!lanes_[i].up) continue;
    ++usable;
    // The first may always go on: it is the measure of the others.
    if (usable > 1 && lanes_[i].in_flight >= lanes_[i].allowance) continue;
    if (best != nullptr && lanes_[i].in_flight >= best->in_flight) continue;
    best = &lanes_[i];
    number = i;
  }
  return best;
}

std::optional<TensorSender::Piece> TensorSender::next_piece(std::uint64_t at_most) {
  if (!again_.empty()) {
    if (again_.front().bytes > at_most) return std::nullopt;
    Piece piece = std::move(again_.front());
    again_.pop_front();
    return piece;
  }
  if (waiting_.empty()) return std::nullopt;
  const std::shared_ptr<Message>& message = waiting_.front();
  const std::uint64_t size = message->payload.bytes.size();
  if (std::min(piece_bytes(), size - message->next_offset) > at_most) return std::nullopt;
  if (message->next_offset == 0) {
    // A message that is begun is finished, however large: the receiver said it takes this much
    // beyond what it has used, and one more.
    if (begun_bytes_ - used_bytes_ >= credit_) return std::nullopt;
    begun_bytes_ += size + kMessageOverheadBytes;
  }
  Piece piece;
  piece.message = message;
  piece.offset = message->next_offset;
  // The rest in one piece where less than half a piece would remain.
  const std::uint64_t whole = piece_bytes();
  const std::uint64_t left = size - piece.offset;
  piece.bytes =
      left <= whole + whole / 2 ? std::min<std::uint64_t>(left, kMaxFragmentBytes) : whole;
  piece.checksum = checksum(message->payload.bytes.subspan(piece.offset, piece.bytes));
  message->next_offset += piece.bytes;
  unsent_bytes_ -= piece.bytes;
  if (message->next_offset == size) waiting_.pop_front();
  return piece;
}

wire::Fragment TensorSender::header_of(const Piece& piece) {
  wire::Fragment header;
  const Message& message = *piece.message;
  header.set_sequence(message.header.sequence());
  header.set_payload_bytes(message.payload.bytes.size());
  header.set_offset(piece.offset);
  header.set_checksum(piece.checksum);
  header.set_repeated_(piece.sent_us != 0);
  if (piece.offset == 0) *header.mutable_header() = message.header;
  return header;
}

void TensorSender::pump(std::int64_t now_us, const Put& put) {
  const std::uint64_t limit = window();
  while (in_flight_ < limit) {
    OutgoingFragments together;
    Lane* lane = best_lane(together.lane);
    if (lane == nullptr) return;
    std::optional<Piece> piece = next_piece(kMaxFragmentBytes);
    if (!piece) return;
    // Together they are not more than one piece of a large message.
    std::uint64_t room = piece_bytes();
    for (; piece; piece = next_piece(room)) {
      *together.headers.add_fragments() = header_of(*piece);
      const Payload& payload = piece->message->payload;
      together.pieces.push_back(
          {payload.bytes.subspan(piece->offset, piece->bytes), payload.owner});
      piece->sent_us = now_us;
      // Counted with an overhead, so that empty messages, too, keep to the window.
      const std::uint64_t counted = piece->bytes + kMessageOverheadBytes;
      lane->in_flight += counted;
      in_flight_ += counted;
      room -= std::min(room, counted);
      lane->pieces.push_back(std::move(*piece));
      if (room == 0 || in_flight_ >= limit ||
          together.headers.fragments_size() == kMaxFragmentsTogether) {
        break;
      }
    }
    const std::uint32_t number = together.lane;
    if (!put(std::move(together))) lane_down(number);
  }
}

bool TensorSender::on_status(const wire::LinkStatus& status) {
  if (status.used_bytes() < used_bytes_ || status.used_bytes() > begun_bytes_) return false;
  used_bytes_ = status.used_bytes();
  if (status.has_least_transit()) meter_.on_least_transit(status.least_transit_us());
  std::vector<LinkMeter::Arrival> arrivals;
  for (const wire::LinkStatus::Lane& told : status.lanes()) {
    if (told.lane() == 0 || told.lane() > max_lanes_) return false;
    Lane& lane = lanes_[told.lane()];
    // Of a connection that was lost since, or told before and overtaken.
    if (!lane.up || told.connection() != lane.connection) continue;
    if (told.received() < lane.acknowledged ||
        told.received() - lane.acknowledged > lane.pieces.size()) {
      return false;
    }
    const std::uint64_t fresh = told.received() - lane.acknowledged;
    // Arrival times may be missing after a status was lost with its connection.
    const auto times = static_cast<std::uint64_t>(told.arrivals_us_size());
    std::int64_t arrived_us = 0;
    for (std::uint64_t i = 0; i < fresh; ++i) {
      const Piece& piece = lane.pieces.front();
      if (times == fresh) {
        arrived_us += told.arrivals_us(static_cast<int>(i));
        arrivals.push_back({piece.bytes, piece.sent_us, arrived_us});
      }
      const std::uint64_t counted = piece.bytes + kMessageOverheadBytes;
      lane.in_flight -= counted;
      lane.allowance += counted;
      in_flight_ -= counted;
      bytes_waiting_ -= piece.bytes;
      acknowledged_bytes_ += piece.bytes;
      lane.pieces.pop_front();
    }
    lane.acknowledged = told.received();
  }
  std::ranges::stable_sort(arrivals, {}, &LinkMeter::Arrival::arrived_us);
  std::optional<std::int64_t> oldest_us;
  for (const Lane& lane : lanes_) {
    if (lane.pieces.empty()) continue;
    oldest_us =
        std::min(oldest_us.value_or(lane.pieces.front().sent_us), lane.pieces.front().sent_us);
  }
  meter_.on_arrivals(arrivals, oldest_us);
  return true;
}

void TensorSender::consider_lanes(std::int64_t now_us) {
  const std::int64_t round_trip_us = meter_.round_trip_us().value_or(0);
  const std::int64_t elapsed_us = now_us - std::exchange(looked_us_, now_us);
  const std::uint64_t carried =
      acknowledged_bytes_ - std::exchange(looked_bytes_, acknowledged_bytes_);
  // Only time in which there was more to carry than the connections took.
  if (!std::exchange(was_saturated_, saturated()) || !was_saturated_) return;
  if (round_trip_us < kShortRoundTripUs) return;
  const auto up = std::ranges::count_if(lanes_, &Lane::up);
  if (static_cast<std::uint32_t>(up) < wanted_) return;  // they are being dialled
  const auto needed_us = static_cast<std::int64_t>(std::max(
      static_cast<double>(kTrialUs), kTrialRoundTrips * static_cast<double>(round_trip_us)));
  // New connections take their time until they carry what they can.
  if (trial_.warmed_us < needed_us) {
    trial_.warmed_us += elapsed_us;
    return;
  }
  trial_.lasted_us += elapsed_us;
  trial_.bytes += carried;
  if (trial_.lasted_us < needed_us) return;
  const double goodput =
      static_cast<double>(trial_.bytes) / (static_cast<double>(trial_.lasted_us) * 1e-6);
  if (settled_us_ != 0) {
    // On trial again after a while, or when less comes through than when it ended.
    const bool lasts = now_us - settled_us_ < kTryAgainUs;
    settled_goodput_ = std::max(settled_goodput_, goodput);
    trial_.lasted_us = 0;
    trial_.bytes = 0;
    if (lasts && goodput >= kStillGood * settled_goodput_) return;
    settled_us_ = 0;
    settled_goodput_ = 0.0;
  }
  // Of two connections one is always late with the last of a message: they have to be worth it.
  if (goodput < kWorthKeeping * trial_.goodput_before)
    wanted_ = std::max<std::uint32_t>(1, wanted_ / 2);
  if (goodput < kWorthIt * trial_.goodput_before || wanted_ == max_lanes_) {
    settled_us_ = now_us;
    settled_goodput_ = std::max(goodput, trial_.goodput_before);
    trial_ = {};
    return;
  }
  wanted_ = std::min(2 * wanted_, max_lanes_);
  trial_ = {};
  trial_.goodput_before = goodput;
}

}  // namespace longhaul::proto
