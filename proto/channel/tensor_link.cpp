// The order of a link: epoch and sequence numbers.
#include "proto/channel/tensor_link.hpp"

#include <fmt/format.h>

namespace longhaul::proto {

void TensorLink::stamp(wire::TensorHeader& header) {
  header.set_epoch(ends.epoch.value);
  header.set_from_stage(ends.self.value);
  header.set_sequence(next_sent++);
}

Result<void> TensorLink::admit(const wire::TensorHeader& header) {
  if (header.from_stage() != ends.peer.value) {
    return Error{ErrorKind::kInternal, fmt::format("the peer with the key of stage {} speaks as stage {}",
                                                   ends.peer.value, header.from_stage())};
  }
  if (header.epoch() != ends.epoch.value) {
    return Error{ErrorKind::kInternal,
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
