// The clock of a link's books.
#pragma once

#include <chrono>
#include <cstdint>

namespace longhaul::proto {

// Microseconds since some moment that is this machine's own; never goes back.
inline std::int64_t monotonic_us() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

}  // namespace longhaul::proto
