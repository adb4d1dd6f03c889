// The shaping of one path on virtual time: rate, queue, delay, jitter, loss, change.
#include "daemon/wan/shaper.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

using namespace longhaul::daemon;
using namespace std::chrono_literals;

namespace {

using Time = Shaper::Time;
constexpr std::uint32_t kBytes = 1250;  // 1 ms at 10 Mbit/s

Shaper make_shaper(PathConditions conditions, Time queue = 1s, std::uint64_t seed = 1) {
  return Shaper({.conditions = conditions, .queue = queue, .seed = seed});
}

// Everything that arrives, jumping from one event to the next.
std::vector<Shaper::Delivery> drain(Shaper& shaper) {
  std::vector<Shaper::Delivery> all;
  while (const auto next = shaper.next()) {
    while (const auto delivery = shaper.take(*next)) all.push_back(*delivery);
  }
  return all;
}

void offer(Shaper& shaper, Time now, std::uint32_t count) {
  for (std::uint32_t i = 0; i < count; ++i) REQUIRE(shaper.offer(now, {i, kBytes}));
}

double milliseconds(Time time) { return std::chrono::duration<double, std::milli>(time).count(); }

}  // namespace

TEST_CASE("shaper: a lone packet takes its time on the wire and then the delay") {
  auto shaper = make_shaper({.rate_bits_per_s = 10e6, .delay = 30ms});
  offer(shaper, 5ms, 1);
  CHECK(shaper.next() == Time(6ms));
  CHECK_FALSE(shaper.take(6ms));
  CHECK(shaper.next() == Time(36ms));
  CHECK_FALSE(shaper.take(36ms - 1ns));
  const auto delivery = shaper.take(36ms);
  REQUIRE(delivery);
  CHECK(delivery->due == Time(36ms));
  CHECK_FALSE(shaper.next());
}

TEST_CASE("shaper: packets leave at the rate, however late the caller is") {
  auto shaper = make_shaper({.rate_bits_per_s = 10e6, .delay = 30ms});
  offer(shaper, 0ms, 100);
  std::uint32_t count = 0;
  while (const auto delivery = shaper.take(1s)) {
    CHECK(delivery->packet.number == count);
    CHECK(delivery->due == Time(31ms + count * 1ms));
    ++count;
  }
  CHECK(count == 100);
  CHECK(shaper.counters().bytes == 100 * kBytes);
  // The wire has been idle since: no credit is left from then.
  offer(shaper, 2s, 1);
  CHECK(drain(shaper).front().due == Time(2031ms));
}

TEST_CASE("shaper: a full queue drops at its tail, and has room again as it empties") {
  auto shaper = make_shaper({.rate_bits_per_s = 10e6}, 100ms);
  CHECK(shaper.queue_limit() == 100 * kBytes);
  offer(shaper, 0ms, 100);
  CHECK_FALSE(shaper.offer(0ms, {100, kBytes}));
  CHECK_FALSE(shaper.offer(1ms - 1ns, {101, kBytes}));
  CHECK(shaper.offer(1ms, {102, kBytes}));
  CHECK(shaper.counters().dropped == 2);
  CHECK(drain(shaper).size() == 101);
}

TEST_CASE("shaper: the queue of a slow path holds some packets all the same") {
  const auto shaper = make_shaper({.rate_bits_per_s = 1e4}, 10ms);
  CHECK(shaper.queue_limit() == Shaper::kLeastQueue);
}

TEST_CASE("shaper: a new rate holds for what is left of the packet on the wire") {
  auto shaper = make_shaper({.rate_bits_per_s = 10e6, .delay = 10ms});
  offer(shaper, 0ms, 2);
  shaper.change(500us, {.rate_bits_per_s = 1e6, .delay = 20ms});  // half of the first is sent
  const auto all = drain(shaper);
  REQUIRE(all.size() == 2);
  CHECK(all[0].due == Time(500us + 5ms + 20ms));
  CHECK(all[1].due == Time(500us + 5ms + 10ms + 20ms));
}

TEST_CASE("shaper: what flies when the delay shrinks is not overtaken") {
  auto shaper = make_shaper({.rate_bits_per_s = 10e6, .delay = 100ms});
  offer(shaper, 0ms, 1);
  shaper.change(2ms, {.rate_bits_per_s = 10e6, .delay = 1ms});
  REQUIRE(shaper.offer(2ms, {1, kBytes}));
  const auto all = drain(shaper);
  REQUIRE(all.size() == 2);
  CHECK(all[0].packet.number == 0);
  CHECK(all[0].due == Time(101ms));
  CHECK(all[1].due == Time(101ms));
}

TEST_CASE("shaper: jitter spreads evenly around the delay and keeps the order") {
  auto shaper = make_shaper({.rate_bits_per_s = 1e9, .delay = 50ms, .jitter = 10ms});
  constexpr int kCount = 20'000;
  double sum = 0.0;
  double squares = 0.0;
  for (int i = 0; i < kCount; ++i) {
    const Time sent = i * 100ms;  // alone on the path
    REQUIRE(shaper.offer(sent, {0, 125}));
    const double took = milliseconds(drain(shaper).at(0).due - sent) - 0.001;
    CHECK(std::abs(took - 50.0) <= 10.0);
    sum += took;
    squares += (took - 50.0) * (took - 50.0);
  }
  CHECK(sum / kCount == doctest::Approx(50.0).epsilon(0.005));
  CHECK(std::sqrt(squares / kCount) == doctest::Approx(10.0 / std::sqrt(3.0)).epsilon(0.02));

  offer(shaper, 10'000s, 1000);
  Time last{0};
  std::uint32_t number = 0;
  for (const auto& delivery : drain(shaper)) {
    CHECK(delivery.packet.number == number++);
    CHECK(delivery.due >= last);
    last = delivery.due;
  }
  CHECK(number == 1000);
}

TEST_CASE("shaper: jitter beyond the delay never delivers before the packet is sent") {
  auto shaper = make_shaper({.rate_bits_per_s = 10e6, .delay = 1ms, .jitter = 50ms});
  for (int i = 0; i < 1000; ++i) {
    offer(shaper, i * 1s, 1);
    CHECK(drain(shaper).at(0).due >= i * 1s + 1ms);
  }
}

TEST_CASE("shaper: lost packets are the wanted share, take their time, and repeat with the seed") {
  static constexpr std::uint64_t kCount = 200'000;
  const auto losses = [](std::uint64_t seed) {
    auto shaper = make_shaper({.rate_bits_per_s = 10e6, .loss = 0.01}, 1s, seed);
    std::vector<std::uint64_t> lost;
    for (std::uint64_t i = 0; i < kCount; ++i) {
      offer(shaper, Time(i * 1ms), 1);
      const auto delivery = drain(shaper).at(0);
      CHECK(delivery.due == Time((i + 1) * 1ms));
      if (delivery.lost) lost.push_back(i);
    }
    CHECK(shaper.counters().lost == lost.size());
    CHECK(shaper.counters().packets + lost.size() == kCount);
    return lost;
  };
  const auto once = losses(1);
  CHECK(static_cast<double>(once.size()) / 200000.0 == doctest::Approx(0.01).epsilon(0.1));
  CHECK(losses(1) == once);
  CHECK(losses(2) != once);
}

TEST_CASE("shaper: a loss of one lets nothing through") {
  auto shaper = make_shaper({.rate_bits_per_s = 10e6, .loss = 1.0});
  offer(shaper, 0ms, 10);
  for (const auto& delivery : drain(shaper)) CHECK(delivery.lost);
  CHECK(shaper.counters().lost == 10);
  CHECK(shaper.queued_bytes() == 0);
}
