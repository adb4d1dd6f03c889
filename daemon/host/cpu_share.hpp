// Holds a process to a share of its threads' processor time, without privilege and without cgroups.
#pragma once

#include "daemon/host/clock.hpp"
#include "proto/error.hpp"

#include <chrono>
#include <cstdint>
#include <memory>

#include <sys/types.h>

namespace longhaul::daemon {

struct CpuLimit {
  double share = 1.0;         // (0, 1], of the threads' time
  std::uint32_t threads = 1;  // that compute
};

// What a process may use, period by period: share x threads x the period, as cgroup's cpu.max
// counts. What a period leaves unused is lost; what is used beyond it comes off the next ones.
// Pure: it is told the time, which never goes back, and the process's processor time.
class ShareBudget {
 public:
  using Duration = std::chrono::nanoseconds;

  struct Order {
    bool run = true;
    TimePoint look_again;  // after `now`
  };

  ShareBudget(const CpuLimit& limit, Duration period, TimePoint now, Duration used);

  [[nodiscard]] Order next(TimePoint now, Duration used);

 private:
  const Duration period_;
  const Duration quota_;  // of a period
  const double threads_;
  TimePoint end_;     // of the present period
  Duration allowed_;  // processor time that may be reached in this period
};

// While it lives, a thread of ours stops and continues the process (SIGSTOP, SIGCONT) so that it
// gets its share of every 10 ms and no more; after that the process runs freely. All threads of the
// process stop, those that send and receive too. Nobody else should stop the process meanwhile.
class CpuShare {
 public:
  // `process`: a child that has not been waited for. kResource if the system refuses.
  [[nodiscard]] static proto::Result<std::unique_ptr<CpuShare>> hold(pid_t process,
                                                                     const CpuLimit& limit);
  ~CpuShare();
  CpuShare(const CpuShare&) = delete;
  CpuShare& operator=(const CpuShare&) = delete;

 private:
  class Impl;
  explicit CpuShare(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace longhaul::daemon
