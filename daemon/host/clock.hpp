// Time as the daemons' state machines see it, so that tests can supply their own.
#pragma once

#include <chrono>
#include <cstdint>

namespace longhaul::daemon {

using TimePoint = std::chrono::steady_clock::time_point;
using std::chrono::milliseconds;

class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual TimePoint now() const = 0;          // for deadlines
  [[nodiscard]] virtual std::uint64_t unix_ms() const = 0;  // for records that people read
};

class SystemClock final : public Clock {
 public:
  [[nodiscard]] TimePoint now() const override { return std::chrono::steady_clock::now(); }
  [[nodiscard]] std::uint64_t unix_ms() const override {
    const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<milliseconds>(since_epoch).count());
  }
};

}  // namespace longhaul::daemon
