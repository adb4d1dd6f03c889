// The one frame that a control message is.
#pragma once

#include "proto/control.pb.h"

#include <optional>

#include <zmq.hpp>

namespace longhaul::proto {

// Control connections queue this many messages per direction.
inline constexpr int kControlQueueMessages = 10'000;
inline constexpr int kControlLingerMs = 2'000;

// Empty if the message is larger than the receiver takes.
[[nodiscard]] std::optional<zmq::message_t> control_frame(const wire::Envelope& message);

}  // namespace longhaul::proto
