// Checks pieces, puts them together, keeps the books of what the peer is to be told.
#include "proto/channel/tensor_receiver.hpp"

#include "proto/assert.hpp"
#include "proto/checksum.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace longhaul::proto {
namespace {

constexpr std::size_t kWrappedAlignment = 8;
// Messages that wait for an earlier one: connections differ in speed, but not by that much.
constexpr std::uint64_t kMaxMessagesAhead = 1u << 20;
// Not told yet, per connection; without more of them goodput is not measured for a moment.
constexpr std::size_t kMaxArrivals = 256;
constexpr std::size_t kMaxRepeated = 1u << 16;

}  // namespace

void TensorReceiver::lane_up(std::uint32_t number, std::uint64_t connection) {
  Lane& lane = lanes_.at(number);
  lane = {};
  lane.up = true;
  lane.connection = connection;
  news_ = true;
}

Error TensorReceiver::refused(const wire::Fragment& piece, const std::string& what) const {
  const auto found = arriving_.find(piece.sequence());
  const wire::TensorHeader* header = piece.has_header() ? &piece.header() : nullptr;
  if (header == nullptr && found != arriving_.end() && found->second.header) {
    header = &*found->second.header;
  }
  if (header == nullptr) {
    return {ErrorKind::kInternal,
            fmt::format("stage {}, message {}: {}", peer_.value, piece.sequence(), what)};
  }
  return {ErrorKind::kInternal, fmt::format("stage {}, step {}, micro-batch {}, tensor {}: {}",
                                            peer_.value, header->step() + 1, header->micro_batch(),
                                            proto::quoted(header->name()), what)};
}

// A piece that came before, and may have: it is the repetition, or the original that the repetition
// overtook.
bool TensorReceiver::forgiven(const wire::Fragment& piece) {
  return piece.repeated_() || repeated_.erase({piece.sequence(), piece.offset()}) > 0;
}

Result<void> TensorReceiver::check_header(const wire::Fragment& piece) const {
  const wire::TensorHeader& header = piece.header();
  const auto sound = check_tensor_header(header);
  if (sound.has_error()) return with_context(fmt::format("stage {}", peer_.value), sound.error());
  if (header.from_stage() != peer_.value) {
    return refused(piece, fmt::format("the peer with the key of stage {} speaks as stage {}",
                                      peer_.value, header.from_stage()));
  }
  if (header.epoch() != epoch_.value) {
    return refused(piece, fmt::format("it is of epoch {} of the plan, this stage is at epoch {}",
                                      header.epoch(), epoch_.value));
  }
  if (header.sequence() != piece.sequence()) {
    return refused(piece, fmt::format("a header of message {} in message {}", header.sequence(),
                                      piece.sequence()));
  }
  return {};
}

Result<TensorReceiver::Assembly*> TensorReceiver::assembly_of(const wire::Fragment& piece) {
  const auto found = arriving_.find(piece.sequence());
  if (found != arriving_.end()) {
    if (found->second.payload_bytes != piece.payload_bytes()) {
      return refused(piece, fmt::format("a payload of {} bytes, which had {}",
                                        piece.payload_bytes(), found->second.payload_bytes));
    }
    return &found->second;
  }
  if (piece.payload_bytes() > limits_.max_payload_bytes) {
    return refused(piece, fmt::format("announced a payload of {} bytes; at most {} are taken",
                                      piece.payload_bytes(), limits_.max_payload_bytes));
  }
  if (piece.sequence() - next_ > kMaxMessagesAhead) {
    return refused(piece,
                   fmt::format("message {} is far ahead of message {}", piece.sequence(), next_));
  }
  // A message is begun while there is any credit, so that the last one may go beyond it. Which that
  // is cannot be told, where others overtook it: not more than the largest, at any rate.
  largest_ = std::max(largest_, piece.payload_bytes() + kMessageOverheadBytes);
  begun_bytes_ += piece.payload_bytes() + kMessageOverheadBytes;
  if (begun_bytes_ - used_bytes_ > limits_.credit_bytes + largest_) {
    return refused(piece, "it was sent beyond the credit");
  }
  Assembly& assembly = arriving_[piece.sequence()];
  assembly.payload_bytes = piece.payload_bytes();
  return &assembly;
}

Result<void> TensorReceiver::place(Assembly& assembly, std::uint64_t offset, Payload piece) {
  const std::span<const std::byte> data = piece.bytes;
  if (data.size() == assembly.payload_bytes &&
      reinterpret_cast<std::uintptr_t>(data.data()) % kWrappedAlignment == 0) {
    assembly.whole = std::move(piece);
    return {};
  }
  if (!assembly.gathered) {
    assembly.gathered = memory_->take(assembly.payload_bytes);
    if (!assembly.gathered) {
      return Error{ErrorKind::kResource,
                   fmt::format("no memory for a payload of {} bytes", assembly.payload_bytes)};
    }
  }
  std::memcpy(assembly.gathered.get() + offset, data.data(), data.size());
  return {};
}

Result<void> TensorReceiver::on_fragment(std::uint32_t number, wire::Fragment header, Payload piece,
                                         std::int64_t now_us, std::vector<Message>& complete) {
  Lane& lane = lanes_.at(number);
  LONGHAUL_ASSERT(lane.up);
  ++lane.received;
  if (lane.arrivals_us.size() < kMaxArrivals) lane.arrivals_us.push_back(now_us);
  news_ = true;
  untold_bytes_ += piece.bytes.size();
  const std::uint64_t offset = header.offset();
  const std::uint64_t bytes = piece.bytes.size();
  if (offset > header.payload_bytes() || bytes > header.payload_bytes() - offset) {
    return refused(header, fmt::format("a piece of {} bytes at {} in a payload of {}", bytes,
                                       offset, header.payload_bytes()));
  }
  if (bytes == 0 && header.payload_bytes() != 0) return refused(header, "an empty piece");
  if (header.has_header() != (offset == 0)) {
    return refused(header, "the header belongs to the first piece, and to no other");
  }
  if (header.has_header()) {
    const auto checked = check_header(header);
    if (checked.has_error()) return checked.error();
  }
  if (header.sequence() < next_) {
    if (forgiven(header)) return {};
    return refused(header, "was received before");
  }
  auto found = assembly_of(header);
  if (found.has_error()) return found.error();
  Assembly& assembly = *found.value();
  // Pieces never overlap; one that was repeated is the same piece.
  const auto after = assembly.pieces.upper_bound(offset);
  if (after != assembly.pieces.begin()) {
    const auto& [at, length] = *std::prev(after);
    if (at == offset && length == bytes && forgiven(header)) return {};
    if (at + length > offset || (at == offset && assembly.any)) {
      return refused(header, fmt::format("the bytes at {} were received before", offset));
    }
  }
  if (after != assembly.pieces.end() && offset + bytes > after->first) {
    return refused(header, fmt::format("the bytes at {} were received before", after->first));
  }
  if (checksum(piece.bytes) != header.checksum()) {
    return refused(header, "the payload's checksum is wrong");
  }
  if (header.has_header()) assembly.header = std::move(*header.mutable_header());
  if (header.repeated_()) {
    if (repeated_.size() == kMaxRepeated) repeated_.erase(repeated_.begin());
    repeated_.emplace(header.sequence(), offset);
  }
  assembly.pieces.emplace(offset, bytes);
  assembly.any = true;
  assembly.arrived_bytes += bytes;
  const auto placed = place(assembly, offset, std::move(piece));
  if (placed.has_error()) return placed.error();
  for (auto first = arriving_.begin();
       first != arriving_.end() && first->first == next_ && first->second.complete();
       first = arriving_.begin()) {
    Assembly& whole = first->second;
    Payload payload = std::move(whole.whole);
    if (whole.gathered) {
      payload = {{whole.gathered.get(), whole.payload_bytes}, std::move(whole.gathered)};
    }
    complete.push_back({std::move(*whole.header), std::move(payload)});
    arriving_.erase(first);
    ++next_;
  }
  return {};
}

void TensorReceiver::on_status_frame(std::int64_t sent_us, std::int64_t now_us) {
  transits_.add(now_us - sent_us, now_us);
  last_status_sent_us_ = sent_us;
  last_status_came_us_ = now_us;
}

wire::LinkStatus TensorReceiver::status(std::int64_t now_us) {
  wire::LinkStatus status;
  for (std::uint32_t number = 1; number < lanes_.size(); ++number) {
    Lane& lane = lanes_[number];
    if (!lane.up) continue;
    wire::LinkStatus::Lane& told = *status.add_lanes();
    told.set_lane(number);
    told.set_connection(lane.connection);
    told.set_received(lane.received);
    std::int64_t before = 0;
    for (const std::int64_t arrival : lane.arrivals_us) {
      told.add_arrivals_us(arrival - std::exchange(before, arrival));
    }
    lane.arrivals_us.clear();
  }
  status.set_used_bytes(used_bytes_);
  told_used_ = used_bytes_;
  if (last_status_sent_us_) {
    status.set_echo_us(*last_status_sent_us_);
    status.set_echo_age_us(now_us - last_status_came_us_);
  } else {
    status.set_echo_age_us(-1);
  }
  if (const auto least = transits_.least()) {
    status.set_least_transit_us(*least);
    status.set_has_least_transit(true);
  }
  news_ = false;
  untold_bytes_ = 0;
  return status;
}

}  // namespace longhaul::proto
