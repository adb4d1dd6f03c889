// What a peer that was let in sends on a link: refused, or whole messages in order within the
// bounds that the receiver relies on. Input: for each frame one byte of lane, two bytes of the
// frame's length, two of the pieces', little endian, and both; the fragments share the pieces
// evenly.
#include "proto/channel/tensor_receiver.hpp"
#include "proto/channel/tensor_sender.hpp"

#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>
#include <utility>
#include <vector>

namespace {

using namespace longhaul;
using namespace longhaul::proto;

constexpr std::uint32_t kLanes = 3;
constexpr std::size_t kMostPayload = 1 << 16;
constexpr std::uint64_t kCredit = 1 << 17;

// The promises of check_tensor_header, computed another way.
void check(const wire::TensorHeader& header) {
  using wire::TensorHeader;
  if (!TensorHeader::Kind_IsValid(header.kind()) || header.kind() == TensorHeader::UNSPECIFIED ||
      !TensorHeader::Phase_IsValid(header.phase()) || header.name().size() > 512 ||
      header.from_stage() != 1 || header.epoch() != 7 || header.shape_size() > 8) {
    std::abort();
  }
  long double elements = 1;
  for (const std::int64_t extent : header.shape()) {
    if (extent <= 0) std::abort();
    elements *= static_cast<long double>(extent);
  }
  if (elements * 2 > static_cast<long double>(kMaxTensorPayloadBytes)) std::abort();
}

struct Link {
  PayloadMemory memory;
  TensorReceiver receiver{
      StageIndex{1},
      PlanEpoch{7},
      {.max_payload_bytes = kMostPayload, .credit_bytes = kCredit, .max_lanes = kLanes},
      memory};
  TensorSender sender{kLanes};
  std::uint64_t next = 0;
  std::int64_t now_us = 1;

  Link() {
    for (std::uint32_t lane = 1; lane <= kLanes; ++lane) {
      receiver.lane_up(lane, 1);
      sender.lane_up(lane, 1);
    }
    sender.set_credit(kCredit);
    for (int i = 0; i < 4; ++i) {
      const auto bytes = std::make_shared<std::vector<std::byte>>(40'000);
      wire::TensorHeader header;
      header.set_sequence(static_cast<std::uint64_t>(i));
      sender.push(std::move(header), {*bytes, bytes});
    }
  }

  bool take(std::uint32_t lane, std::span<const std::byte> frame,
            std::span<const std::byte> piece) {
    const auto parts = parts_of(frame);
    if (parts.has_value() && parts.value().piece.size() > kMaxInlineBytes) std::abort();
    auto parsed = link_frame_from_wire(frame);
    if (!parsed) return false;
    now_us += 100;
    sender.pump(now_us, [](OutgoingFragments) { return true; });
    if (parsed->has_status()) {
      receiver.on_status_frame(parsed->sent_us(), now_us);
      return sender.on_status(parsed->status());
    }
    const auto fragments = static_cast<std::size_t>(parsed->fragments().fragments_size());
    const auto owner = std::make_shared<std::vector<std::byte>>(piece.begin(), piece.end());
    std::vector<TensorReceiver::Message> complete;
    bool taken = true;
    for (std::size_t i = 0; i < fragments && taken; ++i) {
      const std::size_t begin = owner->size() * i / fragments;
      const std::size_t end = owner->size() * (i + 1) / fragments;
      taken =
          receiver
              .on_fragment(
                  lane,
                  std::move(*parsed->mutable_fragments()->mutable_fragments(static_cast<int>(i))),
                  {std::span<const std::byte>(*owner).subspan(begin, end - begin), owner}, now_us,
                  complete)
              .has_value();
    }
    for (const TensorReceiver::Message& whole : complete) {
      check(whole.header);
      if (whole.header.sequence() != next++ || whole.payload.bytes.size() > kMostPayload) {
        std::abort();
      }
      receiver.on_used(whole.payload.bytes.size());
    }
    (void)receiver.status(now_us);
    return taken;
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Link link;
  std::span<const std::byte> rest{reinterpret_cast<const std::byte*>(data), size};
  const auto number = [&](std::size_t at) {
    return std::to_integer<std::size_t>(rest[at]) | std::to_integer<std::size_t>(rest[at + 1]) << 8;
  };
  while (rest.size() >= 5) {
    const std::uint32_t lane = 1 + std::to_integer<std::uint32_t>(rest[0]) % kLanes;
    const std::size_t frame = number(1);
    const std::size_t piece = number(3);
    rest = rest.subspan(5);
    if (frame > rest.size() || piece > rest.size() - frame) break;
    if (!link.take(lane, rest.first(frame), rest.subspan(frame, piece))) break;
    rest = rest.subspan(frame + piece);
  }
  return 0;
}
