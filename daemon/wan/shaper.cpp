// Sends on virtual time: who waits, who is on the wire, who flies.
#include "daemon/wan/shaper.hpp"

#include <algorithm>
#include <cmath>

namespace longhaul::daemon {

namespace {

constexpr double kBitsPerByte = 8.0;
constexpr double kNanosecondsPerSecond = 1e9;

}  // namespace

Shaper::Shaper(const Options& options)
    : conditions_(options.conditions), queue_(options.queue), random_(options.seed) {}

std::size_t Shaper::queue_limit() const {
  const double seconds = static_cast<double>(queue_.count()) / kNanosecondsPerSecond;
  const double bytes = conditions_.rate_bits_per_s * seconds / kBitsPerByte;
  return std::max(kLeastQueue, static_cast<std::size_t>(bytes));
}

bool Shaper::offer(Time now, ShapedPacket packet) {
  advance(now);
  if (queued_bytes_ + packet.bytes > queue_limit()) {
    ++counters_.dropped;
    return false;
  }
  // One number per packet, whatever the loss is: so a changed loss leaves the jitter as it was.
  const bool lost = uniform() < conditions_.loss;
  if (waiting_.empty()) {
    head_bits_ = packet.bytes * kBitsPerByte;
    head_since_ = std::max(now, wire_free_);
  }
  waiting_.push_back({packet, lost});
  queued_bytes_ += packet.bytes;
  return true;
}

void Shaper::change(Time now, const PathConditions& conditions) {
  advance(now);
  if (!waiting_.empty()) {
    const auto since = std::max(Time(0), now - head_since_);
    const auto sent =
        static_cast<double>(since.count()) / kNanosecondsPerSecond * conditions_.rate_bits_per_s;
    head_bits_ = std::max(0.0, head_bits_ - sent);
    head_since_ += since;
  }
  conditions_ = conditions;
}

std::optional<Shaper::Delivery> Shaper::take(Time now) {
  advance(now);
  if (flying_.empty() || flying_.front().due > now) return std::nullopt;
  const auto delivery = flying_.front();
  flying_.pop_front();
  if (delivery.lost) {
    ++counters_.lost;
  } else {
    ++counters_.packets;
    counters_.bytes += delivery.packet.bytes;
  }
  return delivery;
}

// Who waits can wait for the moment at which the first one that flies arrives: all times are
// computed, none is measured.
std::optional<Shaper::Time> Shaper::next() const {
  if (!flying_.empty()) return flying_.front().due;
  if (!waiting_.empty()) return head_leaves();
  return std::nullopt;
}

void Shaper::advance(Time now) {
  while (!waiting_.empty()) {
    const Time left = head_leaves();
    if (left > now) return;
    const auto [packet, lost] = waiting_.front();
    waiting_.pop_front();
    queued_bytes_ -= packet.bytes;
    last_due_ = std::max(last_due_, left + flight());
    flying_.push_back({packet, last_due_, lost});
    head_since_ = wire_free_ = left;
    if (!waiting_.empty()) head_bits_ = waiting_.front().packet.bytes * kBitsPerByte;
  }
}

Shaper::Time Shaper::head_leaves() const {
  const double takes = head_bits_ / conditions_.rate_bits_per_s * kNanosecondsPerSecond;
  return head_since_ + Time(static_cast<Time::rep>(std::ceil(takes)));
}

Shaper::Time Shaper::flight() {
  const double spread = 2.0 * uniform() - 1.0;
  const auto jitter = spread * static_cast<double>(conditions_.jitter.count());
  return std::max(Time(0), conditions_.delay + Time(static_cast<Time::rep>(jitter)));
}

double Shaper::uniform() { return std::ldexp(static_cast<double>(random_() >> 11), -53); }

}  // namespace longhaul::daemon
