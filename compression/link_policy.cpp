// When a link moves: at once to what it needs, slowly back, never on a guess for long.
#include "compression/link_policy.hpp"

#include "compression/link_rules.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace longhaul::compression {
namespace {

constexpr double kOver = 1.02;  // of the limit, before a rung counts as too slow
// Steps over the limit until a link that does not hold up the steady flow goes harder: one late
// message of a busy host is no slower link.
constexpr std::uint32_t kPatience = 2;
constexpr double kSmallestMargin = 0.10;  // that a milder rung must have
constexpr double kLargestMargin = 0.50;
constexpr double kSpreads = 2.0;  // of goodput, for the margin
constexpr double kClearlyFaster = 1.05;
// Of the limit: what a rung may take by a lower bound of the goodput to be worth a try. Small
// messages make a link look slower than it is, but not by more.
constexpr double kWorthATry = 1.5;
// Of the goodput when the link was last full: what a lower bound has to say for more to be thought.
constexpr double kFasterThanBefore = 1.1;
constexpr double kSameGoodput = 0.05;     // relative change that a reason does not mention
constexpr std::uint32_t kSoon = 1;        // step from a try that fitted to the next
constexpr std::uint64_t kFirstBar = 100;  // steps
constexpr std::uint64_t kLongestBar = 12800;

// Three digits, and all of those before the point.
std::string figure(double value) {
  return std::abs(value) < 100.0 ? fmt::format("{:.3g}", value) : fmt::format("{:.0f}", value);
}

std::string mbit(double bytes_per_s) { return figure(bytes_per_s * 8e-6); }
std::string ms(double seconds) { return figure(seconds * 1e3); }

bool measured(const LinkReading& link) {
  return std::isfinite(link.goodput_bytes_per_s) && link.goodput_bytes_per_s > 0.0;
}

bool full(const LinkReading& link) { return measured(link) && !link.lower_bound; }

double margin(const LinkReading& link) {
  const double spread = std::isfinite(link.spread) ? link.spread : 0.0;
  return 1.0 + std::clamp(kSpreads * spread, kSmallestMargin, kLargestMargin);
}

}  // namespace

LinkPolicy::LinkPolicy(const PolicyOptions& options)
    : options_(options),
      outlook_(options),
      target_(std::min(options.start, outlook_.size() - 1)),
      rung_(outlook_.rung(target_)),
      hold_(std::max(options.hold_steps, 1u)),
      probe_hold_(std::max(options.probe_steps, 1u)),
      bar_steps_(kFirstBar) {}

Decision LinkPolicy::next(const StepInput& input) {
  step_ = input.step;
  outlook_.see(input);
  if (full(input.link)) last_full_ = input.link.goodput_bytes_per_s;
  anneal();
  if (goodput_then_ == 0.0) note_level();
  const auto move = choose(input);
  const Decision decision = arrive(move);
  if (options_.backward) update_demand(input);
  return decision;
}

void LinkPolicy::anneal() {
  Annealing annealing{.share = options_.backward ? 0.0 : options_.anneal,
                      .steps = options_.steps,
                      .start = anneal_start_.value_or(rung_.density)};
  const std::uint64_t next_step = step_ + 1;
  if (!anneals(annealing, next_step)) return;
  anneal_start_ = annealing.start;
  outlook_.set_floor(annealed_density(annealing, next_step));
}

std::optional<LinkPolicy::Move> LinkPolicy::choose(const StepInput& input) {
  if (!guard_.watching()) guarded_.clear();
  if (const auto rise = guard_.see(input.loss); rise && !guarded_.empty()) {
    return take_back(*rise);
  }
  if (auto move = forced()) return move;
  if (!outlook_.known()) return std::nullopt;
  if (auto move = harder(input)) return move;
  if (!measured(input.link)) return std::nullopt;
  if (auto move = milder(input)) return move;
  return probe(input);
}

std::optional<LinkPolicy::Move> LinkPolicy::take_back(const LossGuard::Rise& rise) {
  outlook_.bar(target_, step_ + bar_steps_);
  std::string why = fmt::format(
      "training loss rose {:.4g} -> {:.4g} ({:.1f} sigma), barred for {} "
      "steps",
      rise.before, rise.after, rise.sigmas, bar_steps_);
  bar_steps_ = std::min(2 * bar_steps_, kLongestBar);
  std::size_t place = guarded_.back();
  while (place > 0 && !outlook_.allowed(place)) --place;
  return Move{place, Cause::kLoss, std::move(why)};
}

// The rung in use is no longer allowed.
std::optional<LinkPolicy::Move> LinkPolicy::forced() {
  if (outlook_.allowed(target_)) return std::nullopt;
  std::string why;
  if (outlook_.coarser_than_forward(target_)) {
    why = fmt::format("the forward is {}", name(outlook_.forward()));
  } else if (outlook_.too_coarse(target_)) {
    why = fmt::format("distortion {:.3g} over {:.3g}", outlook_.distortion(target_).value_or(0.0),
                      options_.distortion);
  } else if (outlook_.barred(target_)) {
    why = "barred since the loss rose";
  } else if (!outlook_.distortion(target_)) {
    return std::nullopt;  // it was never encoded: the start
  } else {
    why = "annealing";
  }
  const auto picked = outlook_.known() ? outlook_.pick(outlook_.limit_s()) : std::nullopt;
  std::size_t place = picked ? *picked : target_;
  while (place > 0 && !outlook_.allowed(place)) --place;
  return Move{place, Cause::kForced, std::move(why)};
}

std::size_t LinkPolicy::allowed_demand(std::size_t demand) const {
  std::size_t place = std::min(options_.backward ? 0 : demand, outlook_.size() - 1);
  while (place > 0 && !outlook_.allowed(place)) --place;
  return place;
}

std::string LinkPolicy::goodput_text() const {
  const double now = outlook_.goodput_bytes_per_s();
  const double change = goodput_then_ > 0.0 ? now / goodput_then_ - 1.0 : 0.0;
  if (std::abs(change) <= kSameGoodput) return fmt::format("goodput {} Mbit/s", mbit(now));
  return fmt::format("goodput {} {} -> {} Mbit/s", change < 0.0 ? "fell" : "rose",
                     mbit(goodput_then_), mbit(now));
}

std::optional<LinkPolicy::Move> LinkPolicy::harder(const StepInput& input) {
  const std::size_t demand = allowed_demand(input.demand);
  if (demand > target_) {
    return Move{demand, Cause::kDemand, "the backward link needs it"};
  }
  // A link that was not full has hidden its wire.
  const auto now = full(input.link) ? outlook_.time_s(target_) : outlook_.coding_s(target_);
  const double limit_s = outlook_.limit_s();
  if (!now || *now <= kOver * limit_s) {
    over_steps_ = 0;
    return std::nullopt;
  }
  ++over_steps_;
  if (*now <= input.steady_s && over_steps_ < kPatience) return std::nullopt;
  const auto picked = outlook_.pick(limit_s);
  if (!picked || *picked == target_ || (!options_.backward && *picked < demand)) {
    return std::nullopt;
  }
  const double budget_s = outlook_.budget_s();
  std::string why = goodput_text();
  if (limit_then_ > 0.0 && limit_s < (1.0 - kSameGoodput) * limit_then_) {
    why += fmt::format(", time allowed fell {} -> {} ms", ms(limit_then_), ms(limit_s));
  }
  why += fmt::format(", {} ms over budget", ms(*now - budget_s));
  const double then_s = outlook_.time_s(*picked).value_or(0.0);
  if (then_s > budget_s) {
    const bool fastest = outlook_.pick(0.0) == picked;
    why += fastest ? ", no allowed rung fits: the fastest"
                   : fmt::format(", the job's slowest link takes {} ms", ms(limit_s));
  }
  return Move{*picked, Cause::kTooSlow, std::move(why)};
}

std::optional<LinkPolicy::Move> LinkPolicy::milder(const StepInput& input) {
  const double limit_s = outlook_.limit_s();
  const auto now = outlook_.time_s(target_);
  std::optional<std::size_t> better;
  for (std::size_t place = allowed_demand(input.demand); place < target_; ++place) {
    const auto time = outlook_.time_s(place);
    if (!time || !outlook_.allowed(place)) continue;
    const bool fits = *time * margin(input.link) <= limit_s;
    if (!fits && !(now && *time * kClearlyFaster < *now)) continue;
    better = place;
    break;
  }
  if (!better) {
    held_ = 0;
    return std::nullopt;
  }
  // A step in which the link changed shows a speed in between: which rung is better must settle.
  const bool settled = held_ == 0 || *better == last_better_;
  last_better_ = *better;
  ++held_;
  if (held_ < hold_ || (!settled && held_ < 2 * hold_)) return std::nullopt;
  return Move{*better, Cause::kHeld,
              fmt::format("{}, {} ms to spare, {} steps long", goodput_text(),
                          ms(limit_s - outlook_.time_s(*better).value_or(0.0)), held_)};
}

std::optional<LinkPolicy::Move> LinkPolicy::probe(const StepInput& input) {
  if (probing_ && rung_ == outlook_.sent(target_)) {
    probing_ = false;  // a whole step under the rung that was tried, and it is not too slow
    probed_well_ = true;
    unwatch();
  }
  if (last_climb_ && !climbed_lately()) {
    probe_hold_ = std::max(options_.probe_steps, 1u);
    last_climb_.reset();
  }
  bound_steps_ = input.link.lower_bound ? bound_steps_ + 1 : 0;
  const auto place = next_milder(allowed_demand(input.demand));
  const bool worth = place && bound_steps_ > 0 && worth_a_try(outlook_.time_s(*place));
  worth_steps_ = worth ? worth_steps_ + 1 : 0;
  const std::uint32_t wait = probed_well_ ? std::min(kSoon, probe_hold_) : probe_hold_;
  if (probing_ || !worth || worth_steps_ < wait) return std::nullopt;
  return Move{*place, Cause::kProbe,
              fmt::format("the link was not full for {} steps, at least {} Mbit/s: a try",
                          bound_steps_, mbit(outlook_.goodput_bytes_per_s()))};
}

// The next milder rung that may be used and whose coding alone is not too slow.
std::optional<std::size_t> LinkPolicy::next_milder(std::size_t least) const {
  for (std::size_t place = target_; place-- > least;) {
    const auto coding = outlook_.coding_s(place);
    if (outlook_.allowed(place) && coding.value_or(0.0) <= outlook_.limit_s()) return place;
  }
  return std::nullopt;
}

// After a long time without a full link, anything is. Where it looks as fast as when it was full,
// it is: small messages have no more to say.
bool LinkPolicy::worth_a_try(std::optional<double> time_s) const {
  const bool as_before = outlook_.goodput_bytes_per_s() <= kFasterThanBefore * last_full_;
  return bound_steps_ >= kLongestProbeHold || !time_s ||
         *time_s <= (as_before ? 1.0 : kWorthATry) * outlook_.limit_s();
}

// What only a lower bound of goodput says never asks for more than the forward does already; now
// and then it asks for less, to see.
void LinkPolicy::update_demand(const StepInput& input) {
  demand_ = 0;
  if (!outlook_.known()) return;
  const std::size_t now = outlook_.forward_place();
  demand_ = outlook_.demand(outlook_.limit_s());
  if (demand_ < now) {
    demand_ = std::min(now, outlook_.demand(outlook_.limit_s() / margin(input.link)));
  }
  if (!measured(input.link) || input.link.lower_bound) demand_ = std::min(demand_, now);
  if (bound_steps_ >= probe_hold_ && demand_ == now && now > 0 &&
      worth_a_try(outlook_.fastest_under(now - 1))) {
    demand_ = now - 1;
    bound_steps_ = 0;
    probe_hold_ = std::min(2 * probe_hold_, kLongestProbeHold);
  }
}

double LinkPolicy::best_time_s() const { return outlook_.best_time_s(target_); }

std::size_t LinkPolicy::hardest_allowed() const { return allowed_demand(outlook_.size() - 1); }

std::vector<Rung> LinkPolicy::wanted_trials(std::size_t most) const {
  return outlook_.trials(target_, most);
}

}  // namespace longhaul::compression
