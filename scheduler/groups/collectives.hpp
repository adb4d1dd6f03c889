// How long devices of a group take to exchange tensors, by ring algorithms.
#pragma once

#include "scheduler/fleet.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace longhaul::scheduler {

// The slowest step between neighbours of rings that work at the same time.
struct RingLink {
  std::uint32_t devices = 1;  // of a ring
  double step_s = 0.0;        // delay and time per message
  double s_per_byte = 0.0;

  [[nodiscard]] double steps_s(double steps, double bytes) const {
    return steps * (step_s + bytes * s_per_byte);
  }
  // `bytes`: of the whole tensor, of which every device has or gets 1/n. n - 1 steps of bytes / n:
  // Thakur, Rabenseifner, Gropp 2005, section 4.1; the same time for reduce-scatter.
  [[nodiscard]] double all_gather_s(double bytes) const {
    return steps_s(devices - 1.0, bytes / devices);
  }
  // A reduce-scatter and an all-gather.
  [[nodiscard]] double all_reduce_s(double bytes) const { return 2.0 * all_gather_s(bytes); }
  // Every device sends each other one 1/n of its 1/n of the tensor.
  [[nodiscard]] double all_to_all_s(double bytes) const {
    return steps_s(devices - 1.0, bytes / devices / devices);
  }
};

// Rings of devices of the fleet, all of one length. Rings that use the same path share its rate.
[[nodiscard]] RingLink ring_link(const Fleet& fleet,
                                 std::span<const std::vector<std::size_t>> rings);

}  // namespace longhaul::scheduler
