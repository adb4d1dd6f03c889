// The loss guard: silent on noise, loud on a rise.
#include "compression/loss_guard.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>

namespace longhaul::compression {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// A loss curve from scratch with the noise of batches, and now and then a spike.
class Losses {
 public:
  explicit Losses(std::uint64_t seed, double noise = 0.03) : random_(seed), noise_(noise) {}

  double next() {
    const double mean = 1.8 + 3.0 * std::exp(-step_++ / 150.0);
    const double spike = uniform_(random_) < 0.01 ? 0.2 : 0.0;
    return mean * (1.0 + noise_ * normal_(random_) + spike);
  }

 private:
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_{0.0, 1.0};
  std::uniform_real_distribution<double> uniform_{0.0, 1.0};
  double noise_;
  double step_ = 0.0;
};

bool alarms(LossGuard& guard, Losses& losses, int steps, double factor) {
  for (int i = 0; i < steps; ++i) {
    if (guard.see(losses.next() * factor)) return true;
  }
  return false;
}

TEST_CASE("loss guard: no false alarm in 100 noisy runs of ten changes each") {
  int false_alarms = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Losses losses(seed);
    LossGuard guard;
    for (int change = 0; change < 10; ++change) {
      if (alarms(guard, losses, 100, 1.0)) ++false_alarms;
      guard.watch();
    }
  }
  CHECK(false_alarms == 0);
}

TEST_CASE("loss guard: a loss that rises by a tenth after the change is noticed every time") {
  int noticed = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    Losses losses(seed);
    LossGuard guard;
    REQUIRE_FALSE(alarms(guard, losses, 400, 1.0));
    guard.watch();
    if (alarms(guard, losses, 50, 1.1)) ++noticed;
  }
  CHECK(noticed == 100);
}

TEST_CASE("loss guard: the rise is told with its numbers") {
  LossGuard guard;
  for (int i = 0; i < 40; ++i) CHECK_FALSE(guard.see(2.0 + 0.01 * (i % 2)));
  guard.watch();
  std::optional<LossGuard::Rise> rise;
  int steps = 0;
  while (!rise && steps < 50) {
    rise = guard.see(2.5);
    ++steps;
  }
  REQUIRE(rise.has_value());
  CHECK(steps == 10);  // two to settle, eight to judge
  CHECK(rise->before == doctest::Approx(2.005));
  CHECK(rise->after == doctest::Approx(2.5));
  CHECK(rise->sigmas > 5.0);
}

TEST_CASE("loss guard: NaN after a change is a rise, and no number before") {
  LossGuard guard;
  for (int i = 0; i < 40; ++i) CHECK_FALSE(guard.see(i % 4 == 0 ? kNan : 2.0));
  guard.watch();
  bool risen = false;
  for (int i = 0; i < 12; ++i) risen = risen || guard.see(kNan).has_value();
  CHECK(risen);
  for (int i = 0; i < 12; ++i) (void)guard.see(-kNan);
  guard.stop();
  CHECK_FALSE(guard.see(2.0));
}

TEST_CASE("loss guard: with too few losses before, it does not judge") {
  LossGuard guard;
  for (int i = 0; i < 10; ++i) CHECK_FALSE(guard.see(2.0));
  guard.watch();
  for (int i = 0; i < 100; ++i) CHECK_FALSE(guard.see(9.0));
  CHECK_FALSE(guard.watching());
}

TEST_CASE("loss guard: one bad loss among good ones is noise") {
  LossGuard guard;
  for (int i = 0; i < 40; ++i) CHECK_FALSE(guard.see(2.0));
  guard.watch();
  for (int i = 0; i < 48; ++i) CHECK_FALSE(guard.see(i % 3 == 0 ? 50.0 : 2.0));
}

}  // namespace
}  // namespace longhaul::compression
