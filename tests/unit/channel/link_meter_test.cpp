// What a link's traffic says about it, on links that are computed.
#include "proto/channel/link_meter.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <vector>

namespace longhaul::proto {
namespace {

constexpr std::int64_t kClocksDiffer = -7'000'000'000;

// A bottleneck with a queue, seen by both ends' clocks.
class Path {
 public:
  Path(std::function<double(double)> bytes_per_s, double one_way_s)
      : rate_(std::move(bytes_per_s)), one_way_s_(one_way_s) {
    meter.on_round_trip(us(2 * one_way_s), 0);
    meter.on_least_transit(us(one_way_s) + kClocksDiffer);
  }

  // Sends fragments one after the other, all handed over now; then waits until `until`.
  void burst(int fragments, std::uint64_t bytes, double until) {
    std::vector<LinkMeter::Arrival> arrivals;
    for (int i = 0; i < fragments; ++i) {
      free_at_ = std::max(free_at_, now_);
      free_at_ += static_cast<double>(bytes) / rate_(free_at_);
      arrivals.push_back({bytes, us(now_), us(free_at_ + one_way_s_) + kClocksDiffer});
    }
    meter.on_arrivals(arrivals);
    now_ = until;
  }
  [[nodiscard]] double busy_until() const { return free_at_; }

  LinkMeter meter;

 private:
  static std::int64_t us(double s) { return static_cast<std::int64_t>(std::llround(s * 1e6)); }
  std::function<double(double)> rate_;
  double one_way_s_;
  double now_ = 1.0;
  double free_at_ = 0.0;
};

TEST_CASE("link_meter: a full link's goodput is exact from 1 Mbit/s to 1 Gbit/s") {
  for (const double mbit : {1.0, 10.0, 100.0, 1000.0}) {
    const double rate = mbit * 1e6 / 8;
    Path path([&](double) { return rate; }, 0.05);
    const auto bytes = static_cast<std::uint64_t>(std::max(16384.0, rate * 0.005));
    path.burst(200, bytes, 2.0);
    path.meter.end_window();
    const LinkMeasure measure = path.meter.measure();
    CAPTURE(mbit);
    CHECK(measure.goodput == doctest::Approx(rate).epsilon(0.001));
    CHECK_FALSE(measure.lower_bound);
    CHECK(measure.spread < 0.01);
    CHECK(measure.round_trip_s == doctest::Approx(0.1));
    CHECK(measure.queueing_s > 0.0);
  }
}

TEST_CASE("link_meter: pauses do not count") {
  Path path([](double) { return 1e6; }, 0.01);
  for (int step = 0; step < 5; ++step) {
    path.burst(20, 50'000, 1.0 + (step + 1) * 30.0);  // busy for a second of thirty
    path.meter.end_window();
  }
  CHECK(path.meter.measure().goodput == doctest::Approx(1e6).epsilon(0.001));
  CHECK_FALSE(path.meter.measure().lower_bound);
}

TEST_CASE("link_meter: traffic that never fills the link gives a lower bound") {
  Path path([](double) { return 125e6; }, 0.05);
  for (int message = 0; message < 30; ++message) path.burst(1, 100'000, 1.0 + (message + 1) * 0.1);
  path.meter.end_window();
  const LinkMeasure measure = path.meter.measure();
  CHECK(measure.lower_bound);
  CHECK(measure.goodput > 0.0);
  CHECK(measure.goodput <= 125e6 * 1.01);
  CHECK(measure.queueing_s == doctest::Approx(0.0));
}

TEST_CASE("link_meter: a change of speed shows within a second of traffic") {
  Path path([](double t) { return t < 10.0 ? 12.5e6 : 1e6; }, 0.02);
  double t = 1.0;
  for (int i = 0; i < 18; ++i) {
    path.burst(10, 62'500, t += 0.5);
    path.meter.end_window();
  }
  CHECK(path.meter.measure().goodput == doctest::Approx(12.5e6).epsilon(0.01));
  for (int i = 0; i < 3; ++i) {
    path.burst(20, 50'000, t = std::max(t + 0.5, path.busy_until()));
    path.meter.end_window();
  }
  CHECK(path.meter.measure().goodput == doctest::Approx(1e6).epsilon(0.01));
}

TEST_CASE("link_meter: a single slower window is averaged with those before, a change is not") {
  Path path([](double t) { return t < 4.0   ? 1e6
                                  : t < 4.9 ? 0.88e6
                                  : t < 8.0 ? 1e6
                                            : 0.5e6; },
            0.02);
  double t = 1.0;
  for (int i = 0; i < 4; ++i) {
    path.burst(18, 50'000, t += 1.0);
    path.meter.end_window();
  }
  const double dipped = path.meter.measure().goodput;
  CHECK(dipped > 0.95e6);
  CHECK(dipped < 0.98e6);
  for (int i = 0; i < 4; ++i) {
    path.burst(18, 50'000, t = std::max(t + 1.0, path.busy_until()));
    path.meter.end_window();
  }
  path.burst(18, 50'000, t = std::max(t + 1.0, path.busy_until()));
  path.meter.end_window();
  CHECK(path.meter.measure().goodput == doctest::Approx(0.5e6).epsilon(0.01));
}

TEST_CASE("link_meter: what a full link once carried fades where bursts no longer reach it") {
  Path path([](double t) { return t < 10.0 ? 12.5e6 : 1e6; }, 0.05);
  path.burst(100, 62'500, 20.0);
  path.meter.end_window();
  CHECK(path.meter.measure().goodput == doctest::Approx(12.5e6).epsilon(0.01));
  double t = 20.0;
  for (int i = 0; i < 20; ++i) {
    path.burst(6, 10'000, t += 1.0);  // 60 ms of a slower link: no two round trips
    path.meter.end_window();
  }
  CHECK(path.meter.measure().lower_bound);
  CHECK(path.meter.measure().goodput == doctest::Approx(1e6).epsilon(0.05));
}

TEST_CASE("link_meter: a few numbers now and then say nothing of the link") {
  Path path([](double t) { return t < 2.0 ? 12.5e6 : 20e3; }, 0.001);  // as if hosts woke up late
  path.burst(100, 62'500, 10.0);
  path.meter.end_window();
  for (int i = 0; i < 50; ++i) {
    path.burst(1, 100, 11.0 + i * 0.1);
    path.meter.end_window();
  }
  CHECK(path.meter.measure().goodput == doctest::Approx(12.5e6).epsilon(0.01));
}

TEST_CASE("link_meter: a full link that carries only small messages later may have become faster") {
  Path path([](double t) { return t < 30.0 ? 125e3 : 12.5e6; }, 0.01);
  path.burst(20, 62'500, 35.0);
  path.meter.end_window();
  REQUIRE_FALSE(path.meter.measure().lower_bound);
  for (int i = 0; i < 20; ++i) path.burst(1, 4'000, 40.0 + i * 0.1);
  path.meter.end_window();
  CHECK(path.meter.measure().lower_bound);
  CHECK(path.meter.measure().goodput > 1e6);
}

TEST_CASE("link_meter: jitter is the round trips' mean deviation") {
  LinkMeter meter;
  std::mt19937 random(1);
  std::uniform_int_distribution<int> wobble(-10'000, 10'000);
  for (int i = 0; i < 1000; ++i) meter.on_round_trip(100'000 + wobble(random), i * 1000);
  CHECK(meter.measure().jitter_s == doctest::Approx(0.005).epsilon(0.4));
  CHECK(meter.measure().round_trip_s == doctest::Approx(0.09).epsilon(0.01));
}

TEST_CASE("link_meter: the least is of the last seconds") {
  RecentLeast least;
  CHECK_FALSE(least.least());
  least.add(5, 0);
  least.add(9, 1'000'000);
  CHECK(*least.least() == 5);
  least.add(9, 15'000'000);
  CHECK(*least.least() == 5);
  least.add(9, 30'000'000);
  CHECK(*least.least() == 9);
}

TEST_CASE("link_meter: without traffic there is no figure") {
  LinkMeter meter;
  meter.end_window();
  CHECK(meter.measure().goodput == 0.0);
  CHECK(meter.measure().lower_bound);
  // Arrivals that cannot be placed yet, and times that contradict each other, do no harm.
  meter.on_arrivals(std::vector<LinkMeter::Arrival>{{100, 5, 10}});
  meter.on_least_transit(1000);
  meter.on_arrivals(std::vector<LinkMeter::Arrival>{{100, 5, 10}, {100, 50, 3}});
  meter.end_window();
  CHECK(std::isfinite(meter.measure().goodput));
}

}  // namespace
}  // namespace longhaul::proto
