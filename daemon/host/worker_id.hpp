// Which worker a message is about: one stage of one job in one epoch of its plan.
#pragma once

#include "proto/control.pb.h"

#include <compare>
#include <cstdint>
#include <string>

namespace longhaul::daemon {

struct WorkerId {
  std::string job_id;
  std::uint64_t epoch = 0;
  std::uint32_t stage = 0;

  auto operator<=>(const WorkerId&) const = default;
};

// From any message that has these three fields.
template <class Message>
[[nodiscard]] WorkerId worker_id(const Message& message) {
  return {message.job_id(), message.epoch(), message.stage()};
}

template <class Message>
void set_worker_id(Message& message, const WorkerId& id) {
  message.set_job_id(id.job_id);
  message.set_epoch(id.epoch);
  message.set_stage(id.stage);
}

}  // namespace longhaul::daemon
