// Whether the training loss has risen since a link began to compress harder.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace longhaul::compression {

// Compares medians. Before: the last 32 losses ahead of the change (at least 16, or it does not
// judge). After: from the third step on, 8 to 48 losses. The noise of one loss is the median
// absolute deviation before times 1.4826, and at least 0.1 % of the loss; that of a median of n is
// 1.2533 / sqrt(n) times it (normal noise). A difference of five times its noise is a rise. The
// fall that training should show is not extrapolated, so a curve that flattens raises no alarm.
class LossGuard {
 public:
  struct Rise {
    double before = 0.0;
    double after = 0.0;
    double sigmas = 0.0;
  };

  // The loss of each step, in order. NaN and infinity count as infinite after a change and are left
  // out before it. Set when the loss has risen; then the watch goes on until stop() or watch().
  [[nodiscard]] std::optional<Rise> see(double loss);

  // A change to a harder rung, or back to one under watch: what comes is compared with what was
  // before the first change that is still watched. Nothing is watched where too little came before.
  void watch();
  // No change is under watch any more.
  void stop();
  [[nodiscard]] bool watching() const { return watching_; }

 private:
  [[nodiscard]] std::optional<Rise> compare() const;

  std::deque<double> before_;
  std::vector<double> after_;
  bool watching_ = false;
  std::uint32_t skip_ = 0;
};

}  // namespace longhaul::compression
