// What one direction of one path between two sites is like at a moment.
#pragma once

#include <chrono>
#include <cstdint>

namespace longhaul::daemon {

struct PathConditions {
  double rate_bits_per_s = 0.0;        // of IP packets, headers included; above 0
  std::chrono::nanoseconds delay{0};   // one way, beside queueing and serialization
  std::chrono::nanoseconds jitter{0};  // the delay varies evenly by up to this, both ways
  double loss = 0.0;                   // share of packets, 0 to 1, each by itself

  bool operator==(const PathConditions&) const = default;
};

}  // namespace longhaul::daemon
