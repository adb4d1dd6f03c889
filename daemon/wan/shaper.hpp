// One direction of one path: a queue that drops at its tail, a rate, a delay with jitter, loss.
#pragma once

#include "daemon/wan/conditions.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <random>

namespace longhaul::daemon {

// A packet as the shaper sees it: who stores it knows it by its number.
struct ShapedPacket {
  std::uint32_t number = 0;
  std::uint32_t bytes = 0;
};

// A state machine on virtual time; equal calls with an equal seed give equal results. A packet
// first waits until those before it are on the wire, takes bytes / rate to be sent, then flies for
// the delay. Times are kept exactly: a caller that comes late delivers late, but later packets do
// not become later for it. Packets never overtake each other: jitter can only push them together.
class Shaper {
 public:
  // Since any start. Who calls with an earlier time than before changes nothing that has been told.
  using Time = std::chrono::nanoseconds;

  struct Options {
    PathConditions conditions;
    Time queue{0};  // how long packets may wait at the present rate, never less than kLeastQueue
    std::uint64_t seed = 0;
  };

  struct Counters {
    std::uint64_t packets = 0;  // delivered
    std::uint64_t bytes = 0;    // delivered
    std::uint64_t dropped = 0;  // packets that found the queue full
    std::uint64_t lost = 0;     // packets that were lost on the wire
  };

  struct Delivery {
    ShapedPacket packet;
    Time due{0};
    bool lost = false;  // it took its time on the wire and arrives nowhere
  };

  static constexpr std::size_t kLeastQueue = 32 * 1024;  // bytes

  explicit Shaper(const Options& options);

  // False if the queue is full: the packet is dropped.
  [[nodiscard]] bool offer(Time now, ShapedPacket packet);
  // From now on. What waits is sent at the new rate; what flies arrives as it would have.
  void change(Time now, const PathConditions& conditions);
  // The next packet that is due by now, in the order of arrival; empty if there is none.
  [[nodiscard]] std::optional<Delivery> take(Time now);
  // When to call take() again, which may then still give nothing; empty if all is delivered.
  [[nodiscard]] std::optional<Time> next() const;

  [[nodiscard]] const PathConditions& conditions() const { return conditions_; }
  [[nodiscard]] const Counters& counters() const { return counters_; }
  [[nodiscard]] std::size_t queued_bytes() const { return queued_bytes_; }  // as of the last call
  [[nodiscard]] std::size_t queue_limit() const;                            // bytes

 private:
  struct Waiting {
    ShapedPacket packet;
    bool lost = false;
  };

  void advance(Time now);
  [[nodiscard]] Time head_leaves() const;
  [[nodiscard]] Time flight();
  [[nodiscard]] double uniform();  // [0, 1)

  PathConditions conditions_;
  Time queue_;
  std::mt19937_64 random_;
  std::deque<Waiting> waiting_;  // the first is being sent
  std::deque<Delivery> flying_;
  std::size_t queued_bytes_ = 0;
  double head_bits_ = 0.0;  // of the first one that waits, unsent at head_since_
  Time head_since_{0};
  Time wire_free_{0};  // when the last one that flies left
  Time last_due_{0};
  Counters counters_;
};

}  // namespace longhaul::daemon
