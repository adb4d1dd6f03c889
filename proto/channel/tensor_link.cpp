// The rules of a link: introduction first, then messages of one epoch in order, each complete.
#include "proto/channel/tensor_link.hpp"

#include <fmt/format.h>

#include <span>
#include <utility>

namespace longhaul::proto {
namespace {

bool introduces(wire::TensorHeader::Kind kind) {
  return kind == wire::TensorHeader::HELLO || kind == wire::TensorHeader::HELLO_REPLY;
}

}  // namespace

void TensorLink::stamp(wire::TensorHeader& header) {
  header.set_epoch(ends.epoch.value);
  header.set_from_stage(ends.self.value);
  header.set_sequence(next_sent++);
}

Error TensorLink::broken(const std::string& what) const {
  return {ErrorKind::kInternal, fmt::format("stage {} {}", ends.peer.value, what)};
}

Result<Arrival> TensorLink::take(IncomingFrames frames, std::size_t max_payload_bytes,
                                 PayloadMemory& memory) {
  // A header is in place exactly where no message is half arrived.
  if (!frames.fragment || frames.header.has_value() == arriving.has_value()) {
    return broken("sent frames that are not a header and its payload");
  }
  if (frames.header) {
    auto header =
        tensor_header_from_wire({frames.header->data<std::byte>(), frames.header->size()});
    if (header.has_error()) {
      return with_context(fmt::format("stage {}", ends.peer.value), header.error());
    }
    const auto introduction = dialler ? wire::TensorHeader::HELLO_REPLY : wire::TensorHeader::HELLO;
    if (header.value().kind() == introduction) return introduce(frames, header.value());
    const auto begun = begin_message(frames, std::move(header).value(), max_payload_bytes, memory);
    if (begun.has_error()) return begun.error();
  } else if (frames.routing_id != routing_id) {
    return broken("speaks out of turn");
  }
  const auto added = arriving->add(std::move(frames.fragment));
  if (added.has_error()) {
    return with_context(fmt::format("stage {}", ends.peer.value), added.error());
  }
  if (!arriving->complete()) return Arrival{};
  PayloadAssembly message = std::move(*arriving);
  arriving.reset();
  return Arrival{Arrival::Kind::kMessage, std::move(message.header), std::move(message.payload)};
}

Result<void> TensorLink::begin_message(const IncomingFrames& frames, wire::TensorHeader header,
                                       std::size_t max_payload_bytes, PayloadMemory& memory) {
  if (state != State::kLinked || frames.routing_id != routing_id || introduces(header.kind())) {
    return broken("speaks out of turn");
  }
  const auto admitted = admit(header);
  if (admitted.has_error()) return admitted.error();
  if (header.payload_bytes() > max_payload_bytes) {
    return broken(fmt::format("announced a payload of {} bytes; at most {} are taken",
                              header.payload_bytes(), max_payload_bytes));
  }
  auto assembly = PayloadAssembly::begin(std::move(header), memory);
  if (assembly.has_error()) return assembly.error();
  arriving = std::move(assembly).value();
  return {};
}

Result<Arrival> TensorLink::introduce(const IncomingFrames& frames,
                                      const wire::TensorHeader& header) {
  if (state == State::kLinked) {
    // ZeroMQ repeats what it had not sent when a connection broke before it was used.
    if (frames.routing_id == routing_id && next_received == 1) return Arrival{};
    return Error{ErrorKind::kLost, fmt::format("stage {} introduced itself anew: its former "
                                               "connection was lost",
                                               ends.peer.value)};
  }
  const auto admitted = admit(header);
  if (admitted.has_error()) return admitted.error();
  routing_id = frames.routing_id;
  descriptor = frames.descriptor;
  return Arrival{.kind = Arrival::Kind::kIntroduction, .header = {}, .payload = {}};
}

Result<void> TensorLink::admit(const wire::TensorHeader& header) {
  if (header.from_stage() != ends.peer.value) {
    return Error{ErrorKind::kInternal,
                 fmt::format("the peer with the key of stage {} speaks as stage {}",
                             ends.peer.value, header.from_stage())};
  }
  if (header.epoch() != ends.epoch.value) {
    return Error{
        ErrorKind::kInternal,
        fmt::format("stage {} is at epoch {} of the plan, stage {} at epoch {}: one of them "
                    "missed a change of plan",
                    ends.peer.value, header.epoch(), ends.self.value, ends.epoch.value)};
  }
  if (header.sequence() != next_received) {
    return Error{ErrorKind::kLost,
                 fmt::format("message {} of stage {} arrived in place of message {}",
                             header.sequence(), ends.peer.value, next_received)};
  }
  ++next_received;
  return {};
}

}  // namespace longhaul::proto
