// A capacity that several jobs share fairly while it lasts: a host's processors, a path's
// bandwidth.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <utility>
#include <vector>

namespace longhaul::scheduler {

// Fluid max-min sharing: every job gets an equal rate, but none more than it can use; what one
// leaves goes to the others. A value: it is told the time, which never goes back.
class SharedCapacity {
 public:
  using JobId = std::uint64_t;

  // `capacity`: work per second at factor 1, positive, or infinite.
  // `busy_speed`: [n]: the work per second that n + 1 units of capacity in use get done together,
  // in those of one alone; between them evenly. Empty: n + 1.
  explicit SharedCapacity(double capacity, std::vector<double> busy_speed = {})
      : capacity_(capacity), busy_speed_(std::move(busy_speed)) {}

  // `work`: finite, not negative. `most`: work per second that the job can use.
  void start(JobId job, double work, double now_s,
             double most = std::numeric_limits<double>::infinity());
  // Changes what a job can use.
  void set_most(JobId job, double most, double now_s);
  // Multiplies the capacity from now on; 0 stops everything.
  void set_factor(double factor, double now_s);

  struct Next {
    JobId job = 0;
    double at_s = 0.0;
  };
  // Which job ends first if nothing changes; of several, the one that started first.
  [[nodiscard]] std::optional<Next> next() const;
  // Removes the job that next() names, at its time.
  void finish(const Next& next);

  [[nodiscard]] std::size_t jobs() const { return jobs_.size(); }

 private:
  struct Job {
    JobId id = 0;
    double left = 0.0;
    double most = 0.0;
    double rate = 0.0;
  };

  void advance(double now_s);
  void share();
  [[nodiscard]] double slowdown(double in_use) const;

  double capacity_;
  std::vector<double> busy_speed_;
  double factor_ = 1.0;
  double now_s_ = 0.0;
  std::vector<Job> jobs_;              // in the order of their start
  std::vector<std::size_t> unserved_;  // kept for its memory
};

}  // namespace longhaul::scheduler
