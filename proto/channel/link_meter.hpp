// What a link's own traffic says about it: goodput, round trip, jitter, queueing. One direction, as
// its sender sees it. A value: it is told the time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>

namespace longhaul::proto {

struct LinkMeasure {
  double goodput = 0.0;  // bytes of payload per second while there was something to carry; 0: none
  // The traffic never filled the link for long enough to tell: it may be faster.
  bool lower_bound = true;
  double spread = 0.0;        // standard deviation of the goodput over 20 ms, relative
  double round_trip_s = 0.0;  // the least of the last seconds; 0: not known
  double jitter_s = 0.0;      // mean deviation of the round trip (RFC 6298's RTTVAR)
  double queueing_s = 0.0;    // mean wait of a fragment before its own transmission began
  std::uint64_t bytes = 0;    // of the windows that the figures are from
  double busy_s = 0.0;        // in which these were carried
};

// The least of the values of the last 10 to 20 seconds.
class RecentLeast {
 public:
  void add(std::int64_t value, std::int64_t now_us);
  [[nodiscard]] std::optional<std::int64_t> least() const;

 private:
  std::optional<std::int64_t> former_;
  std::optional<std::int64_t> current_;
  std::int64_t since_us_ = 0;
};

// How goodput is found. A fragment's transmission begins when it has reached the bottleneck and its
// predecessor has left it: at max(arrival of the predecessor, sending + least transit), where
// sending is that of the oldest fragment that had not arrived by then: connections overtake. The
// two clocks differ by a constant, which the least transit contains, so that no clock need be set.
// Bytes over the sum of these times is what the link carries while it has something to carry:
// pauses of the sender do not count. Where the predecessor's arrival decides, fragments were
// queueing. The figure is of the link, and not a lower bound, once they did so without a pause for
// two round trips and 64 KiB, which is when TCP's window has opened as far as the path lets it, and
// for 0.3 s or 1 MiB in all. It is a mean over as many of the last windows as agree with the
// latest.
class LinkMeter {
 public:
  struct Arrival {
    std::uint64_t bytes = 0;
    std::int64_t sent_us = 0;     // by the sender's clock
    std::int64_t arrived_us = 0;  // by the receiver's
  };

  // In the order of their arrival. `oldest_on_way_us`: when the oldest fragment that has not
  // arrived was sent, if there is one: on another connection it may have been overtaken.
  void on_arrivals(std::span<const Arrival> arrivals,
                   std::optional<std::int64_t> oldest_on_way_us = std::nullopt);
  // As the receiver says it: arrival - sending, the least of the last seconds.
  void on_least_transit(std::int64_t transit_us) { least_transit_us_ = transit_us; }
  void on_round_trip(std::int64_t round_trip_us, std::int64_t now_us);

  // Ends a window; to be called about twice a second. One without traffic does not count.
  void end_window();
  // Of the last window with enough traffic, or of the last few.
  [[nodiscard]] LinkMeasure measure() const;
  [[nodiscard]] double goodput() const { return of_windows_.goodput; }  // measure()'s
  [[nodiscard]] std::optional<std::int64_t> round_trip_us() const { return round_trips_.least(); }

 private:
  struct Traffic {
    std::uint64_t bytes = 0;
    double busy_s = 0.0;
    double rate_squares = 0.0;  // sum over groups of bytes^2 / time
    void add(const Traffic& other);
  };
  struct Window {
    Traffic all;
    Traffic full;   // of runs without a pause for two round trips
    Traffic small;  // of runs that are too small to tell a figure, and not in `all`
    double queueing_s = 0.0;
    std::size_t fragments = 0;
  };

  void end_group();
  void judge_run();
  void end_small_window();
  [[nodiscard]] LinkMeasure measure_windows() const;
  std::optional<std::int64_t> least_transit_us_;
  std::optional<std::int64_t> last_arrival_us_;
  RecentLeast round_trips_;
  double smoothed_round_trip_s_ = 0.0;
  double jitter_s_ = 0.0;
  Traffic group_;                  // not yet 20 ms of it
  Traffic run_;                    // since the last pause, or since the window began
  double run_lasted_s_ = 0.0;      // since the last pause
  std::uint64_t run_carried_ = 0;  // likewise
  Window window_;
  std::deque<Window> windows_;  // ended, latest last
  LinkMeasure of_windows_;      // all that is theirs
  double full_goodput_ = 0.0;   // the last that was no lower bound, fading
};

}  // namespace longhaul::proto
