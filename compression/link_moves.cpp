// What follows from a move: holds that grow, losses that are watched, densities on the way.
#include "compression/link_policy.hpp"
#include "compression/link_rules.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace longhaul::compression {
namespace {

constexpr std::uint32_t kLongestHold = 64;        // steps
constexpr std::uint32_t kLongestProbeHold = 256;  // steps
constexpr std::uint64_t kRecent = 16;  // steps; a climb this young that fails was a mistake
constexpr std::uint64_t kQuietHolds = 4;

}  // namespace

void LinkPolicy::take(const Move& move) {
  const std::size_t old_place = target_;
  const bool harder = move.place > old_place;
  target_ = move.place;
  guard(old_place, move.cause);
  if (harder && move.cause == Cause::kTooSlow) {
    if (probing_) {
      probe_hold_ = std::min(2 * probe_hold_, kLongestProbeHold);
    } else if (last_climb_ && step_ - *last_climb_ <= std::max<std::uint64_t>(kRecent, 2 * hold_)) {
      hold_ = std::min(2 * hold_, kLongestHold);
    }
  }
  probing_ = move.cause == Cause::kProbe;
  if (move.cause == Cause::kHeld) last_climb_ = step_;
  held_ = 0;
  bound_steps_ = 0;
  quiet_since_ = step_;
  goodput_then_ = outlook_.goodput_bytes_per_s();
  limit_then_ = outlook_.limit_s();
}

void LinkPolicy::guard(std::size_t old_place, Cause cause) {
  if (target_ > old_place) {
    // A try that failed returns to what was in use just before.
    if (cause == Cause::kTooSlow && probing_) return;
    guarded_.push_back(old_place);
    guard_.watch();
    return;
  }
  while (!guarded_.empty() && guarded_.back() >= target_) guarded_.pop_back();
  if (guarded_.empty()) {
    guard_.stop();
  } else {
    guard_.watch();
  }
}

Decision LinkPolicy::arrive(const std::optional<Move>& move) {
  const Rung old = rung_;
  const std::size_t old_place = target_;
  if (move && move->place != target_) {
    take(*move);
  } else if (step_ - quiet_since_ >= kQuietHolds * hold_) {
    hold_ = std::max(hold_ / 2, std::max(options_.hold_steps, 1u));
    quiet_since_ = step_;
  }
  const Rung goal = outlook_.sent(target_);
  // A backward link has no density of its own: it follows its forward's.
  rung_ = options_.backward ? goal : towards(old, goal);
  const bool moved = target_ != old_place;
  Decision decision{
      .rung = rung_, .choice = outlook_.rung(target_), .changed = rung_ != old, .reason = {}};
  if (!moved && !decision.changed) return decision;

  const char* const direction = options_.backward ? "backward" : "forward";
  if (!moved) {
    decision.reason = options_.backward
                          ? fmt::format("{} {} -> {}: the forward is {}", direction, name(old),
                                        name(rung_), name(outlook_.forward()))
                          : fmt::format("{} {} -> {}: on the way to {}", direction, name(old),
                                        name(rung_), name(goal));
    if (!options_.backward) {
      last_move_ = step_;
      if (guard_.watching() && rung_.density < old.density) guard_.watch();
    }
    return decision;
  }
  const std::string by_way = rung_ == goal ? "" : fmt::format(" by way of {}", name(rung_));
  std::string reason =
      fmt::format("{} {} -> {}{}: {}", direction, name(old), name(goal), by_way, move->why);
  const int way = target_ > old_place ? 1 : -1;
  if (way != last_way_ || step_ > last_move_ + 1) ++changes_;
  last_way_ = way;
  last_move_ = step_;
  last_reason_ = reason;
  if (decision.changed) decision.reason = std::move(reason);
  return decision;
}

}  // namespace longhaul::compression
