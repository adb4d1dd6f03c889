// What follows from a move: holds that grow, losses that are watched, densities on the way.
#include "compression/link_policy.hpp"
#include "compression/link_rules.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace longhaul::compression {
namespace {

constexpr std::uint32_t kLongestHold = 64;  // steps
constexpr std::uint64_t kRecent = 32;       // steps; a climb this young that fails was a mistake
constexpr std::uint64_t kQuietHolds = 16;   // holds without a change until the hold is halved

}  // namespace

void LinkPolicy::take(const Move& move) {
  const std::size_t old_place = target_;
  const bool harder = move.place > old_place;
  target_ = move.place;
  guard(old_place, move.cause);
  if (harder && move.cause == Cause::kTooSlow) revert(probing_);
  probing_ = move.cause == Cause::kProbe;
  if (probing_) probed_from_ = old_place;
  if (probing_ || move.cause == Cause::kHeld) last_climb_ = step_;
  held_ = 0;
  bound_steps_ = 0;
  worth_steps_ = 0;
  quiet_since_ = step_;
  note_level();
}

bool LinkPolicy::climbed_lately() const {
  return last_climb_ && step_ - *last_climb_ <= std::max<std::uint64_t>(kRecent, 2 * hold_);
}

// The link is too slow for its rung. If it has only just climbed there, that was a mistake: the
// next climb waits for longer.
void LinkPolicy::revert(bool tried) {
  probed_well_ = false;
  if (!climbed_lately()) return;
  probe_hold_ = std::min(2 * probe_hold_, kLongestProbeHold);
  if (!tried) hold_ = std::min(2 * hold_, kLongestHold);
  last_climb_.reset();
}

void LinkPolicy::note_level() {
  goodput_then_ = outlook_.goodput_bytes_per_s();
  limit_then_ = outlook_.limit_s();
}

void LinkPolicy::guard(std::size_t old_place, Cause cause) {
  // A try that fails returns to what was in use just before: the watch goes on as it was.
  if (cause == Cause::kProbe) return;
  if (probing_ && target_ <= probed_from_) return;
  if (target_ < old_place) {
    unwatch();
    return;
  }
  guarded_.push_back(old_place);
  guard_.watch();
}

// Changes to rungs that are left are watched no longer; those before them are.
void LinkPolicy::unwatch() {
  const bool left = !guarded_.empty() && guarded_.back() >= target_;
  while (!guarded_.empty() && guarded_.back() >= target_) guarded_.pop_back();
  if (guarded_.empty()) {
    guard_.stop();
  } else if (left) {
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
  Decision decision{
      .rung = rung_, .choice = outlook_.rung(target_), .changed = rung_ != old, .reason = {}};
  if (target_ != old_place) {
    const int way = target_ > old_place ? 1 : -1;
    if (way != last_way_ || step_ > last_move_ + 1) ++changes_;
    last_way_ = way;
    last_move_ = step_;
    const std::string by_way = rung_ == goal ? "" : fmt::format(" by way of {}", name(rung_));
    last_reason_ =
        fmt::format("{} {} -> {}{}: {}", direction(), name(old), name(goal), by_way, move->why);
    if (decision.changed) decision.reason = last_reason_;
  } else if (decision.changed) {
    decision.reason = follow(old, goal);
  }
  return decision;
}

// Another rung without a change of mind.
std::string LinkPolicy::follow(const Rung& old, const Rung& goal) {
  std::string reason = fmt::format("{} {} -> {}: ", direction(), name(old), name(rung_));
  if (options_.backward) return reason + "the forward is " + name(outlook_.forward());
  last_move_ = step_;
  if (guard_.watching() && rung_.density < old.density) guard_.watch();
  return reason + (rung_ == goal ? "arrived" : "on the way to " + name(goal));
}

const char* LinkPolicy::direction() const { return options_.backward ? "backward" : "forward"; }

}  // namespace longhaul::compression
