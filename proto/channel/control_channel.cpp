// What control server and client share: an Envelope to a frame and back.
#include "proto/channel/control_channel.hpp"

#include "proto/channel/control_frame.hpp"

#include <fmt/format.h>
#include <google/protobuf/stubs/logging.h>

#include <limits>

namespace longhaul::proto {

static_assert(kMaxControlMessageBytes <= std::numeric_limits<int>::max(), "Protobuf counts in int");

Result<wire::Envelope> envelope_from_wire(std::span<const std::byte> frame) {
  if (frame.size() > kMaxControlMessageBytes) {
    return Error{ErrorKind::kInternal,
                 fmt::format("control message of {} bytes; at most {} are taken", frame.size(),
                             kMaxControlMessageBytes)};
  }
  const google::protobuf::LogSilencer quiet;  // a peer must not be able to fill the log
  wire::Envelope envelope;
  if (!envelope.ParseFromArray(frame.data(), static_cast<int>(frame.size()))) {
    return Error{ErrorKind::kInternal,
                 fmt::format("control message of {} bytes is no Envelope", frame.size())};
  }
  return envelope;
}

std::optional<zmq::message_t> control_frame(const wire::Envelope& message) {
  const std::size_t size = message.ByteSizeLong();
  if (size > kMaxControlMessageBytes) return std::nullopt;
  zmq::message_t frame(size);
  if (!message.SerializeToArray(frame.data(), static_cast<int>(size))) return std::nullopt;
  return frame;
}

}  // namespace longhaul::proto
