// Sums over busy times.
#include "proto/channel/link_meter.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace longhaul::proto {
namespace {

constexpr std::int64_t kLeastHorizonUs = 10'000'000;
constexpr double kGroupS = 0.02;
constexpr double kFullRoundTrips = 2.0;
// A few numbers at a step's end take as long as the hosts take to wake up, whatever the link: what
// is smaller tells no figure, and raises one that is known where there was enough of it.
constexpr std::uint64_t kLeastRunBytes = 8u << 10;
constexpr std::uint64_t kEnoughSmallBytes = 16u << 10;
constexpr std::size_t kWindowsKept = 6;
// Less than that in a window says little: the windows before it are asked too.
constexpr std::size_t kEnoughFragments = 16;
constexpr double kEnoughBusyS = 0.6;
// Full windows before these that carried nearly as much are asked too: TCP's probing and a host
// that wakes up late make single windows slower by a tenth. One that did not agree ends it: a
// change.
constexpr double kAgree = 0.15;
// Of full traffic, before the link is believed to carry no more: a host that wakes up late adds
// milliseconds to each run, which a few small messages take for a slow link.
constexpr double kEnoughFullS = 0.3;
// Of a run that fills the link. Messages of a few packets with pauses between them keep TCP's own
// idea of the path low, and then take as long as that says.
constexpr std::uint64_t kLeastFullBytes = 64u << 10;
constexpr std::uint64_t kEnoughFullBytes = 1u << 20;
// Short bursts may be slower than the link, since TCP opens its window anew; or the link may have
// become slower. What it carried when it was full is believed less with each window.
constexpr double kFading = 0.8;

double seconds(std::int64_t us) { return static_cast<double>(us) * 1e-6; }

double rate(std::uint64_t bytes, double seconds) {
  return seconds > 0.0 ? static_cast<double>(bytes) / seconds : 0.0;
}

}  // namespace

void RecentLeast::add(std::int64_t value, std::int64_t now_us) {
  if (!current_ || now_us - since_us_ > kLeastHorizonUs) {
    former_ = current_;
    current_ = value;
    since_us_ = now_us;
  }
  current_ = std::min(*current_, value);
}

std::optional<std::int64_t> RecentLeast::least() const {
  if (!former_) return current_;
  return std::min(*former_, *current_);
}

void LinkMeter::Traffic::add(const Traffic& other) {
  bytes += other.bytes;
  busy_s += other.busy_s;
  rate_squares += other.rate_squares;
}

void LinkMeter::end_group() {
  if (group_.busy_s > 0.0) {
    const auto bytes = static_cast<double>(group_.bytes);
    group_.rate_squares = bytes * bytes / group_.busy_s;
    run_.add(group_);
    run_lasted_s_ += group_.busy_s;
    run_carried_ += group_.bytes;
  }
  group_ = {};
}

void LinkMeter::judge_run() {
  end_group();
  const double round_trip_s = seconds(round_trips_.least().value_or(0));
  if (run_carried_ >= kLeastRunBytes) {
    window_.all.add(run_);
    const bool lasted = run_lasted_s_ > kFullRoundTrips * round_trip_s;
    if (lasted && run_carried_ >= kLeastFullBytes) window_.full.add(run_);
  } else {
    window_.small.add(run_);
  }
  run_ = {};
}

void LinkMeter::on_arrivals(std::span<const Arrival> arrivals,
                            std::optional<std::int64_t> oldest_on_way_us) {
  if (!least_transit_us_) return;  // until the first status tells it
  std::vector<std::int64_t> oldest_us(arrivals.size());
  std::int64_t oldest = oldest_on_way_us.value_or(std::numeric_limits<std::int64_t>::max());
  for (std::size_t i = arrivals.size(); i-- > 0;) {
    oldest = std::min(oldest, arrivals[i].sent_us);
    oldest_us[i] = oldest;
  }
  for (std::size_t i = 0; i < arrivals.size(); ++i) {
    const Arrival& arrival = arrivals[i];
    const std::int64_t reached_us = oldest_us[i] + *least_transit_us_;
    const bool queued = last_arrival_us_ && *last_arrival_us_ >= reached_us;
    const std::int64_t began_us = queued ? *last_arrival_us_ : reached_us;
    const std::int64_t took_us = std::max<std::int64_t>(0, arrival.arrived_us - began_us);
    if (!queued) {
      judge_run();
      run_lasted_s_ = 0.0;
      run_carried_ = 0;
    }
    group_.bytes += arrival.bytes;
    group_.busy_s += seconds(took_us);
    if (group_.busy_s >= kGroupS) end_group();
    window_.queueing_s += seconds(began_us - reached_us);
    ++window_.fragments;
    last_arrival_us_ = arrival.arrived_us;
  }
}

void LinkMeter::on_round_trip(std::int64_t round_trip_us, std::int64_t now_us) {
  const double sample_s = seconds(round_trip_us);
  if (!round_trips_.least()) {
    smoothed_round_trip_s_ = sample_s;
    jitter_s_ = 0.0;
  } else {
    jitter_s_ += (std::abs(sample_s - smoothed_round_trip_s_) - jitter_s_) / 4.0;
    smoothed_round_trip_s_ += (sample_s - smoothed_round_trip_s_) / 8.0;
  }
  round_trips_.add(round_trip_us, now_us);
}

void LinkMeter::end_window() {
  judge_run();
  if (window_.all.bytes == 0) {
    if (window_.small.bytes > 0 && of_windows_.goodput > 0.0) end_small_window();
    window_ = {};
    return;
  }
  const bool telling = window_.fragments >= kEnoughFragments / 4;
  const double all = rate(window_.all.bytes, window_.all.busy_s);
  windows_.push_back(window_);
  if (windows_.size() > kWindowsKept) windows_.pop_front();
  window_ = {};
  of_windows_ = measure_windows();
  if (!of_windows_.lower_bound) {
    full_goodput_ = of_windows_.goodput;
  } else if (telling) {
    full_goodput_ = std::max(all, kFading * full_goodput_);
  }
  if (of_windows_.lower_bound) of_windows_.goodput = std::max(of_windows_.goodput, full_goodput_);
}

// The link was not full, and may have become faster.
void LinkMeter::end_small_window() {
  of_windows_.lower_bound = true;
  if (window_.small.bytes < kEnoughSmallBytes) return;
  of_windows_.goodput =
      std::max(of_windows_.goodput, rate(window_.small.bytes, window_.small.busy_s));
}

LinkMeasure LinkMeter::measure() const {
  LinkMeasure measure = of_windows_;
  measure.round_trip_s = seconds(round_trips_.least().value_or(0));
  measure.jitter_s = jitter_s_;
  return measure;
}

LinkMeasure LinkMeter::measure_windows() const {
  LinkMeasure measure;
  Window sum;
  auto window = windows_.rbegin();
  while (window != windows_.rend()) {
    sum.all.add(window->all);
    sum.full.add(window->full);
    sum.queueing_s += window->queueing_s;
    sum.fragments += window->fragments;
    ++window;
    if (sum.fragments >= kEnoughFragments && sum.all.busy_s >= kEnoughBusyS) break;
  }
  const bool full = sum.full.busy_s >= kEnoughFullS || sum.full.bytes >= kEnoughFullBytes;
  const double latest = rate(sum.full.bytes, sum.full.busy_s);
  for (; full && window != windows_.rend(); ++window) {
    const double before = rate(window->full.bytes, window->full.busy_s);
    if (std::abs(before - latest) > kAgree * latest) break;
    sum.full.add(window->full);
  }
  const Traffic& traffic = full ? sum.full : sum.all;
  measure.goodput = rate(traffic.bytes, traffic.busy_s);
  measure.lower_bound = !full;
  measure.bytes = traffic.bytes;
  measure.busy_s = traffic.busy_s;
  if (measure.goodput > 0.0) {
    // The variance of the rate over time: mean of squares less square of the mean.
    const double variance =
        traffic.rate_squares / traffic.busy_s - measure.goodput * measure.goodput;
    measure.spread = std::sqrt(std::max(0.0, variance)) / measure.goodput;
  }
  if (sum.fragments > 0) measure.queueing_s = sum.queueing_s / static_cast<double>(sum.fragments);
  return measure;
}

}  // namespace longhaul::proto
