// Starts, annealing, and the polish by the simulator.
#include "scheduler/planners/auto_search.hpp"

#include "scheduler/planners/starting_orders.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace longhaul::scheduler {
namespace {

constexpr std::size_t kStarts = 100;
constexpr std::size_t kFavourites = 2;
constexpr std::size_t kFewOrders = 400;
// Parts of the budget after which starts, annealing and polish end.
constexpr double kOrdersUntil = 0.35;
constexpr double kSettleUntil = 0.45;
constexpr double kAnnealUntil = 0.85;
constexpr double kPolishUntil = 1.0;
// Of the score: what may be lost in a step of the annealing at its start and at its end.
constexpr double kHot = 0.04;
constexpr double kCold = 0.0005;
constexpr double kExcessWeight = 3.0;
constexpr std::size_t kRestartAfter = 250;
constexpr std::size_t kContenders = 8;
// Of what is left for annealing, in each round of walks that compete.
constexpr double kRoundShare = 0.22;
// A change of order whose slowest stage or link is slower than this many times the one before is
// not looked at closely.
constexpr double kLoosened = 1.2;

Settings settings_of(const PlacedPipeline& placed) {
  return {.workload = placed.workload, .schedule = placed.schedule, .run_ahead = placed.run_ahead};
}

std::vector<std::size_t> order_of(const PlacedPipeline& placed) {
  std::vector<std::size_t> order;
  for (const PlacedStage& stage : placed.stages) order.push_back(stage.device);
  return order;
}

bool same_stages(const PlacedPipeline& a, const PlacedPipeline& b) {
  return settings_of(a) == settings_of(b) &&
         std::ranges::equal(a.stages, b.stages, [](const PlacedStage& x, const PlacedStage& y) {
           return x.device == y.device && x.end == y.end;
         });
}

}  // namespace

AutoSearch::AutoSearch(PlannerContext& context, const PlannerBudget& budget)
    : context_(context),
      budget_(budget),
      start_(std::chrono::steady_clock::now()),
      evaluations_before_(context.evaluator.evaluations()),
      favourites_(context.evaluator.settings()) {
  const std::size_t devices = context.tables.devices().size();
  patience_ =
      3000 + 300 * devices + 30 * context.tables.operators() * std::min<std::size_t>(devices, 8);
}

double AutoSearch::spent() const {
  if (budget_.evaluations > 0) {
    return static_cast<double>(context_.evaluator.evaluations() - evaluations_before_) /
           static_cast<double>(budget_.evaluations);
  }
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start_;
  return passed.count() / std::max(budget_.seconds, 1e-9);
}

bool AutoSearch::beats_best(RankedPlan& candidate) {
  if (!candidate.standing.better_than(best_.standing)) return false;
  if (!candidate.standing.exact) {
    candidate.standing = context_.evaluator.simulate(candidate.placed);
    if (!candidate.standing.better_than(best_.standing)) return false;
  }
  return true;
}

bool AutoSearch::offer(RankedPlan candidate) {
  if (candidate.placed.stages.empty()) return false;
  RankedPlan simulated = candidate;
  const bool is_best = beats_best(simulated);
  if (is_best) {
    best_ = std::move(simulated);
    stale_ = 0;
  }
  const auto better = [](const RankedPlan& a, const RankedPlan& b) {
    return a.standing.better_than(b.standing);
  };
  const auto place = std::ranges::upper_bound(starts_, candidate, better);
  if (place - starts_.begin() >= static_cast<std::ptrdiff_t>(kStarts)) return is_best;
  if (std::ranges::any_of(starts_, [&](const RankedPlan& known) {
        return same_stages(known.placed, candidate.placed);
      })) {
    return is_best;
  }
  starts_.insert(place, std::move(candidate));
  if (starts_.size() > kStarts) starts_.pop_back();
  return is_best;
}

void AutoSearch::take_heuristics() {
  for (const auto planner : {plan_equal_operators, plan_equal_compute, plan_op_fence, plan_dt_fm}) {
    RankedPlan candidate = planner(context_);
    const Order order = order_of(candidate.placed);
    const Settings settings = settings_of(candidate.placed);
    offer(std::move(candidate));
    if (spent() > kSettleUntil) continue;
    offer(context_.cuts.best(order, settings, CutSearch::Effort::kQuick));
  }
  // The settings that did best for the best order so far are tried first for others.
  const Order order = order_of(best_.placed);
  std::vector<RankedPlan> tried;
  for (const Settings& settings : context_.evaluator.settings()) {
    if (spent() > kOrdersUntil) break;
    tried.push_back(context_.cuts.best(order, settings, CutSearch::Effort::kQuick));
    offer(tried.back());
  }
  std::ranges::stable_sort(tried, [](const RankedPlan& a, const RankedPlan& b) {
    return a.standing.better_than(b.standing);
  });
  favourites_.clear();
  for (std::size_t i = 0; i < std::min(kFavourites, tried.size()); ++i) {
    favourites_.push_back(settings_of(tried[i].placed));
  }
  if (favourites_.empty()) favourites_.push_back(settings_of(best_.placed));
}

void AutoSearch::take_orders() {
  const std::vector<Order> orders = starting_orders(context_.tables);
  const std::vector<Settings>& settings_to_try =
      orders.size() <= kFewOrders ? context_.evaluator.settings() : favourites_;
  for (const Order& order : orders) {
    for (const Settings& settings : settings_to_try) {
      if (spent() > kOrdersUntil) return;
      offer(context_.cuts.best(order, settings, CutSearch::Effort::kQuick));
    }
  }
}

// Fewer devices of a good order: two thirds, and so on.
void AutoSearch::shorten(const Order& order) {
  if (context_.tables.problem().constraints.devices > 0) return;
  Order shorter = order;
  while (shorter.size() > 1) {
    shorter.resize(shorter.size() * 2 / 3);
    for (const Settings& settings : favourites_) {
      if (spent() > kSettleUntil) return;
      offer(context_.cuts.best(shorter, settings, CutSearch::Effort::kQuick));
    }
  }
}

// The best starts once more, with all caps and settings.
void AutoSearch::settle() {
  const std::vector<RankedPlan> starts = starts_;
  for (std::size_t i = 0; i < std::min<std::size_t>(3, starts.size()); ++i) {
    shorten(order_of(starts[i].placed));
  }
  for (std::size_t i = 0; i < std::min<std::size_t>(12, starts_.size()); ++i) {
    const Order order = order_of(starts_[i].placed);
    for (const Settings& settings : context_.evaluator.settings()) {
      if (spent() > kSettleUntil) return;
      offer(context_.cuts.best(order, settings, CutSearch::Effort::kThorough));
    }
  }
  for (std::size_t i = 0; i < starts_.size(); ++i) {
    if (spent() > kSettleUntil) return;
    RankedPlan refined = starts_[i];
    std::size_t left = 16 * refined.placed.stages.size();
    refine_cuts(context_.evaluator, refined, 2,
                [&] { return spent() > kSettleUntil || left-- == 0; });
    offer(std::move(refined));
  }
}

Settings AutoSearch::other_settings(const Settings& settings) {
  const std::vector<Settings>& all = context_.evaluator.settings();
  const Settings& other = all[below(all.size())];
  return other == settings ? all[below(all.size())] : other;
}

std::optional<AutoSearch::Order> AutoSearch::other_order(const Order& order) {
  const PlanConstraints& constraints = context_.tables.problem().constraints;
  const std::vector<std::size_t>& devices = context_.tables.devices();
  Order changed = order;
  const std::size_t count = order.size();
  const auto at = [&](std::size_t i) { return changed.begin() + static_cast<std::ptrdiff_t>(i); };
  const auto unused = [&]() -> std::optional<std::size_t> {
    if (count >= devices.size()) return std::nullopt;
    while (true) {
      const std::size_t device = devices[below(devices.size())];
      if (std::ranges::find(order, device) == order.end()) return device;
    }
  };
  const std::size_t a = below(count);
  const std::size_t b = below(count);
  switch (below(7)) {
    case 0:
      std::swap(changed[a], changed[b]);
      break;
    case 1:
      std::reverse(at(std::min(a, b)), at(std::max(a, b)) + 1);
      break;
    case 2: {  // one device elsewhere
      const std::size_t device = changed[a];
      changed.erase(at(a));
      changed.insert(at(below(count)), device);
      break;
    }
    case 3: {  // a run elsewhere: places a to c before or after what lies between c and b
      const std::size_t c = below(count);
      std::vector<std::size_t> cut{a, b, c};
      std::ranges::sort(cut);
      std::rotate(at(cut[0]), at(cut[1]), at(cut[2]) + 1);
      break;
    }
    case 4:
      if (const auto device = unused()) changed[a] = *device;
      break;
    case 5:
      if (count >= context_.tables.operators() || constraints.devices > 0) return std::nullopt;
      if (const auto device = unused()) changed.insert(at(below(count + 1)), *device);
      break;
    default:
      if (count < 2 || constraints.devices > 0) return std::nullopt;
      changed.erase(at(a));
      break;
  }
  if (constraints.keep_order) std::ranges::sort(changed);
  if (changed == order) return std::nullopt;
  const auto& all = context_.tables.problem().fleet.devices;
  if (context_.tables.workload(0).needs_data(0, 1) && all[order.front()].has_data &&
      !all[changed.front()].has_data) {
    return std::nullopt;
  }
  return changed;
}

// One cut, or several in a row by as much.
std::optional<RankedPlan> AutoSearch::moved_cut(const RankedPlan& from) {
  const std::size_t cuts = from.placed.stages.size() - 1;
  if (cuts == 0) return std::nullopt;
  RankedPlan moved = from;
  std::vector<PlacedStage>& stages = moved.placed.stages;
  const std::size_t first = below(cuts);
  const std::size_t last = below(3) > 0 ? first : first + below(cuts - first);
  const std::size_t reach = 1 + below(4);
  const bool later = below(2) == 0;
  const PlacedStage& room = later ? stages[last + 1] : stages[first];
  if (room.end - room.first <= reach) return std::nullopt;
  for (std::size_t s = first; s <= last; ++s) {
    stages[s].end = stages[s + 1].first = later ? stages[s].end + reach : stages[s].end - reach;
  }
  moved.standing = context_.evaluator.estimate(moved.placed);
  return moved;
}

double AutoSearch::cap_s(const PlacedPipeline& placed) const {
  const WorkloadTables& sums = context_.tables.workload(placed.workload);
  double most_s = 0.0;
  for (const PlacedStage& stage : placed.stages) {
    most_s = std::max(most_s, sums.time(stage.device, stage.first, stage.end).sum());
  }
  return most_s;
}

std::optional<RankedPlan> AutoSearch::neighbour(const RankedPlan& from) {
  const Settings settings = settings_of(from.placed);
  const std::size_t kind = below(10);
  if (kind < 3) return moved_cut(from);
  if (kind == 3) {
    const Settings other = other_settings(settings);
    if (other == settings) return std::nullopt;
    return context_.cuts.best(order_of(from.placed), other, CutSearch::Effort::kQuick);
  }
  const auto order = other_order(order_of(from.placed));
  if (!order) return std::nullopt;
  const bool by_time = context_.tables.problem().objective == Objective::kStepTime;
  if (!by_time || from.standing.excess > 0.0 || order->size() < 8) {
    return context_.cuts.best(*order, settings, CutSearch::Effort::kQuick);
  }
  // Links may be slower than any stage; then the cap is not what holds the pipeline up.
  const double cap =
      std::max(cap_s(from.placed),
               from.standing.step_s / (from.placed.micro_batches(context_.tables.problem()) +
                                       static_cast<double>(order->size())));
  RankedPlan changed = context_.cuts.best_under(kLoosened * cap, *order, settings);
  if (changed.placed.stages.empty()) return std::nullopt;
  return changed;
}

bool AutoSearch::accepts(const Standing& now, const Standing& next, double heat) {
  // What breaks something may lie between plans that hold.
  const auto energy = [](const Standing& standing) {
    const double time = std::isfinite(standing.score) ? standing.score : standing.step_s;
    return time * (1.0 + kExcessWeight * standing.excess);
  };
  if (std::isfinite(now.score) != std::isfinite(next.score)) return std::isfinite(next.score);
  if (!(energy(next) > energy(now))) return true;
  const double uniform = (static_cast<double>(random_() >> 11U) + 1.0) / 9007199254740993.0;
  return energy(next) < energy(now) * (1.0 - heat * std::log(uniform));
}

// The best start of each set of sites, the best sets first.
std::vector<RankedPlan> AutoSearch::contenders() const {
  std::vector<RankedPlan> found;
  std::set<std::set<std::size_t>> seen;
  for (const RankedPlan& start : starts_) {
    std::set<std::size_t> sites;
    for (const PlacedStage& stage : start.placed.stages) {
      sites.insert(context_.tables.problem().fleet.site_of(stage.device));
    }
    if (seen.insert(std::move(sites)).second) found.push_back(start);
    if (found.size() == kContenders) break;
  }
  return found;
}

// Changes `now` at random until so much of the budget is spent, or nothing more is expected.
// Returns the best by estimate.
RankedPlan AutoSearch::walk(RankedPlan now, double until, bool restarting) {
  const double begun = spent();
  RankedPlan best = now;
  std::size_t since = 0;
  std::size_t restarts = 0;
  while (spent() < until && !worn_out()) {
    ++stale_;
    const double budget_gone = (spent() - begun) / std::max(until - begun, 1e-9);
    const double patience_gone = static_cast<double>(stale_) / static_cast<double>(patience_);
    const double gone = std::clamp(std::max(budget_gone, patience_gone), 0.0, 1.0);
    auto next = neighbour(now);
    if (next && !next->placed.stages.empty()) {
      const double heat = kHot * std::pow(kCold / kHot, gone);
      const bool taken = accepts(now.standing, next->standing, heat);
      offer(*next);
      if (next->standing.better_than(best.standing)) {
        best = *next;
        since = 0;
      }
      if (taken) now = std::move(*next);
    }
    if (++since > kRestartAfter) {
      since = 0;
      // Mostly from the best; sometimes from another start.
      now = restarting && ++restarts % 3 == 0 ? starts_[below(starts_.size())] : best;
    }
  }
  return best;
}

// Walks from different sets of sites compete: the worse half ends after each round.
void AutoSearch::anneal() {
  if (starts_.empty()) return;
  std::vector<RankedPlan> rivals = contenders();
  const double round_share = (kAnnealUntil - spent()) * kRoundShare;
  while (rivals.size() > 1) {
    const double each = round_share / static_cast<double>(rivals.size());
    for (RankedPlan& rival : rivals) {
      stale_ = 0;
      rival = walk(std::move(rival), std::min(kAnnealUntil, spent() + each), false);
    }
    std::ranges::stable_sort(rivals, [](const RankedPlan& a, const RankedPlan& b) {
      return a.standing.better_than(b.standing);
    });
    rivals.resize((rivals.size() + 1) / 2);
  }
  stale_ = 0;
  walk(std::move(rivals.front()), kAnnealUntil, true);
}

void AutoSearch::polish() {
  // By now the estimates' order is known to be wrong or not.
  const std::vector<RankedPlan> starts = starts_;
  for (const RankedPlan& start : starts) {
    if (spent() > kPolishUntil) return;
    if (start.standing.exact) continue;
    RankedPlan simulated = start;
    simulated.standing = context_.evaluator.simulate(start.placed);
    if (simulated.standing.better_than(best_.standing)) best_ = std::move(simulated);
  }
  RankedPlan refined = best_;
  if (best_.standing.exact) {
    refined.standing = context_.evaluator.estimate(refined.placed);
  }
  std::size_t left = 64 * refined.placed.stages.size();
  refine_cuts(context_.evaluator, refined, 2,
              [&] { return spent() > kPolishUntil || left-- == 0; });
  if (beats_best(refined)) best_ = std::move(refined);
}

RankedPlan AutoSearch::run() {
  take_heuristics();
  take_orders();
  settle();
  anneal();
  polish();
  return std::move(best_);
}

RankedPlan plan_auto(PlannerContext& context, const PlannerBudget& budget) {
  return AutoSearch(context, budget).run();
}

}  // namespace longhaul::scheduler
