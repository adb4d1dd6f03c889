// The dynamic program, the bisection over caps, and what narrows the choice.
#include "scheduler/planners/cut_search.hpp"

#include "proto/assert.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace longhaul::scheduler {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();
constexpr double kCloseEnough = 1.005;
constexpr int kMemoryAttempts = 3;
// Of the operators' sum, what a stage is hoped to need where that sum does not decide.
constexpr double kHopedShare = 0.6;
// Caps beyond the smallest one that are tried.
constexpr std::array kQuickCaps{1.0, 1.25};
constexpr std::array kThoroughCaps{1.0, 1.04, 1.12, 1.3, 1.6, 2.2, 4.0};

}  // namespace

void CutSearch::describe(const std::vector<std::size_t>& order, const Settings& settings) {
  const PlanningProblem& problem = evaluator_->tables().problem();
  sums_ = &evaluator_->tables().workload(settings.workload);
  const std::size_t count = order.size();
  const std::size_t operators = sums_->operators();
  static const std::vector<CodecOption> kDense(1);
  const auto& codecs = problem.codecs.empty() ? kDense : problem.codecs;
  totals_.clear();
  speeds_.clear();
  set_aside_.assign(count, 0.0);
  share_.assign(count, problem.stage_memory ? kHopedShare : 1.0);
  forward_.assign(count, {});
  backward_.assign(count, {});
  const auto way = [&](std::size_t from, std::size_t to, double round_trip_s) {
    const FleetPath& path = problem.fleet.path(from, to);
    Way made{.fixed_s = path.per_message_s,
             .codecs = {},
             .delay_s = path.delay_s,
             .round_trip_s = round_trip_s,
             .limits = {}};
    for (const CodecOption& codec : codecs) {
      const double wire = codec.ratio / path.bytes_per_s;
      made.codecs.push_back({.s_per_byte = wire + codec.encode_s_per_byte + codec.decode_s_per_byte,
                             .wire_s_per_byte = wire});
    }
    made.fastest = static_cast<std::size_t>(
        std::ranges::min_element(made.codecs, {}, &Way::Coded::s_per_byte) - made.codecs.begin());
    made.limits.resize(codecs.size());
    return made;
  };
  for (std::size_t p = 0; p < count; ++p) {
    totals_.push_back(sums_->total_s(order[p]));
    speeds_.push_back(problem.fleet.devices[order[p]].speed);
    if (p == 0) continue;
    const double round_trip_s = problem.fleet.path(order[p - 1], order[p]).delay_s +
                                problem.fleet.path(order[p], order[p - 1]).delay_s;
    forward_[p] = way(order[p - 1], order[p], round_trip_s);
    backward_[p] = way(order[p], order[p - 1], round_trip_s);
  }
  const StageTime whole = sums_->time(order[0], 0, operators);
  const double share = whole.sum() > 0.0 ? whole.forward_s / whole.sum() : 1.0 / 3.0;
  pace_ = {.schedule = settings.schedule,
           .stages = static_cast<std::uint32_t>(count),
           .micro_batches = problem.batch / sums_->workload().micro_batch_size,
           .run_ahead = settings.run_ahead,
           .forward_s = share,
           .backward_s = 1.0 - share};
}

bool CutSearch::allowed_data(const std::vector<std::size_t>& order, std::size_t place) const {
  const PlanningProblem& problem = evaluator_->tables().problem();
  const auto has_data = [&](std::size_t d) { return problem.fleet.devices[d].has_data; };
  if (has_data(order[place])) return true;
  const auto sender = std::ranges::find_if(order, has_data);
  if (sender - order.begin() > static_cast<std::ptrdiff_t>(place)) return false;
  return !problem.constraints.data_stays ||
         problem.fleet.site_of(*sender) == problem.fleet.site_of(order[place]);
}

double CutSearch::summed_bytes(std::size_t first, std::size_t end, double in_flight) const {
  return sums_->state_bytes(first, end) + in_flight * sums_->saved_bytes(first, end) +
         sums_->workspace_bytes(first, end);
}

// What a stage was found to need tells more than the hope, or sets its boundaries aside.
void CutSearch::learn(const PlacedPipeline& placed, const Breach& breach) {
  const PlanTables& tables = evaluator_->tables();
  if (!tables.problem().stage_memory) {
    set_aside_[breach.at] += breach.need - breach.limit;
    return;
  }
  const PlacedStage& stage = placed.stages[breach.at];
  const auto schedule = tables.book().of(tables.schedule_key(placed, placed.stages.size()));
  const double sum = summed_bytes(stage.first, stage.end, schedule->in_flight[breach.at]);
  // The device that is fullest may have less than what counts as the stage's.
  const auto has = static_cast<double>(tables.problem().fleet.devices[stage.device].memory_bytes);
  if (sum > 0.0) share_[breach.at] = breach.need / breach.limit * has / sum;
}

void CutSearch::narrow(const std::vector<std::size_t>& order, const Settings& settings,
                       Relaxed relaxed) {
  const PlanTables& tables = evaluator_->tables();
  const std::size_t operators = sums_->operators();
  least_first_.assign(order.size() * (operators + 1), 0);
  if (relaxed == Relaxed::kEverything) return;
  PlacedPipeline placed;
  placed.workload = settings.workload;
  placed.schedule = settings.schedule;
  placed.run_ahead = settings.run_ahead;
  const auto schedule = tables.book().of(tables.schedule_key(placed, order.size()));
  for (std::size_t p = 0; p < order.size(); ++p) {
    const FleetDevice& device = tables.problem().fleet.devices[order[p]];
    const double memory = static_cast<double>(device.memory_bytes) - set_aside_[p];
    const double in_flight = schedule->in_flight[p];
    const bool data = allowed_data(order, p);
    const auto bytes = [&](std::size_t from, std::size_t to) {
      return share_[p] * summed_bytes(from, to, in_flight);
    };
    const bool tight = relaxed == Relaxed::kNothing && bytes(0, operators) > memory;
    if (!tight && data && tables.pins().empty()) continue;
    auto pin = tables.pins().begin();
    std::uint32_t first = 0;
    for (std::uint32_t end = 1; end <= operators; ++end) {
      // The operator that this end adds may be one that must not be here.
      for (; pin != tables.pins().end() && pin->op < end; ++pin) {
        if (pin->node != device.node) first = static_cast<std::uint32_t>(pin->op + 1);
      }
      if (!data && sums_->needs_data(end - 1, end)) first = end;
      while (tight && first < end && bytes(first, end) > memory) ++first;
      least_first_[p * (operators + 1) + end] = first;
    }
  }
}

void CutSearch::choose_codecs(Way& way, bool backward, double cap_s) const {
  if (way.codecs.size() < 2) return;
  proto::PipelinePace pace = pace_;
  pace.forward_s *= std::min(cap_s, 1e9);
  pace.backward_s *= std::min(cap_s, 1e9);
  const double budget_s = proto::transfer_budget_s(pace, backward, way.round_trip_s) - way.fixed_s;
  for (std::size_t c = 0; c < way.codecs.size(); ++c) {
    way.limits[c] = way.codecs[c].s_per_byte > 0.0 ? budget_s / way.codecs[c].s_per_byte : kNever;
  }
}

std::optional<double> CutSearch::crossing_s(const Way& way, double bytes, double cap_s) const {
  std::size_t chosen = way.fastest;
  if (way.codecs.size() > 1) {
    for (std::size_t c = 0; c < way.codecs.size(); ++c) {
      if (bytes > way.limits[c]) continue;
      chosen = c;
      break;
    }
  }
  const Way::Coded& coded = way.codecs[chosen];
  if (way.fixed_s + bytes * coded.wire_s_per_byte > cap_s) return std::nullopt;
  return way.delay_s + way.fixed_s + bytes * coded.s_per_byte;
}

// entered_[i]: the least sum up to the arrival of what the stage at `place` needs to begin at i,
// less its time for operators [0, i).
void CutSearch::enter(std::size_t place, double cap_s) {
  const std::size_t operators = sums_->operators();
  if (place == 0) {
    entered_.assign(operators + 1, kNever);
    entered_[0] = 0.0;
    return;
  }
  choose_codecs(forward_[place], false, cap_s);
  choose_codecs(backward_[place], true, cap_s);
  entered_.assign(operators + 1, kNever);
  for (std::size_t i = place; i < operators; ++i) {
    if (before_[i] == kNever) continue;
    const double bytes = sums_->cut_bytes()[i];
    const auto there = crossing_s(forward_[place], bytes, cap_s);
    const auto back = crossing_s(backward_[place], bytes, cap_s);
    if (there && back) {
      entered_[i] = before_[i] + *there + *back - totals_[place][i] / speeds_[place];
    }
  }
}

bool CutSearch::fill(std::size_t place, double cap_s, const EndRanges* ends) {
  const std::size_t operators = sums_->operators();
  const std::size_t after = totals_.size() - place - 1;
  const std::span<const double> total = totals_[place];
  const double speed = speeds_[place];
  std::size_t low = place + 1;
  std::size_t high = operators - after;
  if (after == 0) low = operators;
  if (ends != nullptr) {
    low = std::max(low, (*ends)[place].first);
    high = std::min(high, (*ends)[place].second);
  }
  now_.assign(operators + 1, kNever);
  // Beginnings in the window, the best first.
  window_.resize(operators);
  std::size_t head = 0;
  std::size_t tail = 0;
  const double cap = cap_s * speed;
  const std::uint32_t* least_first = &least_first_[place * (operators + 1)];
  std::uint32_t* chosen = &chosen_[place * (operators + 1)];
  bool any = false;
  std::uint32_t least = 0;
  for (std::size_t end = place + 1; end <= high; ++end) {
    const std::size_t added = end - 1;
    if (entered_[added] != kNever) {
      while (tail > head && entered_[window_[tail - 1]] >= entered_[added]) --tail;
      window_[tail++] = static_cast<std::uint32_t>(added);
    }
    least = std::max(least, least_first[end]);
    while (least < end && total[end] - total[least] > cap) ++least;
    while (head < tail && window_[head] < least) ++head;
    if (end < low || head >= tail) continue;
    now_[end] = entered_[window_[head]] + total[end] / speed;
    chosen[end] = window_[head];
    any = true;
  }
  return any;
}

bool CutSearch::run(double cap_s, const EndRanges* ends) {
  const std::size_t operators = sums_->operators();
  chosen_.resize(totals_.size() * (operators + 1));
  for (std::size_t p = 0; p < totals_.size(); ++p) {
    enter(p, cap_s);
    if (!fill(p, cap_s, ends)) return false;
    before_.swap(now_);
  }
  if (before_[operators] == kNever) return false;
  cuts_.assign(totals_.size(), 0);
  std::size_t end = operators;
  for (std::size_t p = totals_.size(); p-- > 0;) {
    cuts_[p] = end;
    end = chosen_[p * (operators + 1) + end];
  }
  return true;
}

double CutSearch::bottleneck_s() const {
  double most_s = 0.0;
  std::size_t first = 0;
  for (std::size_t p = 0; p < cuts_.size(); ++p) {
    most_s = std::max(most_s, (totals_[p][cuts_[p]] - totals_[p][first]) / speeds_[p]);
    if (p > 0) {
      for (const Way* way : {&forward_[p], &backward_[p]}) {
        most_s = std::max(most_s, way->fixed_s + sums_->cut_bytes()[first] *
                                                     way->codecs[way->fastest].wire_s_per_byte);
      }
    }
    first = cuts_[p];
  }
  return most_s;
}

PlacedPipeline CutSearch::placement(const std::vector<std::size_t>& order,
                                    const Settings& settings) const {
  PlacedPipeline placed;
  placed.workload = settings.workload;
  placed.schedule = settings.schedule;
  placed.run_ahead = settings.run_ahead;
  std::size_t first = 0;
  for (std::size_t p = 0; p < order.size(); ++p) {
    placed.stages.push_back({.device = order[p], .first = first, .end = cuts_[p]});
    first = cuts_[p];
  }
  return placed;
}

// Whether memory is exceeded, which is then set aside.
bool CutSearch::consider(const std::vector<std::size_t>& order, const Settings& settings,
                         RankedPlan& found) {
  RankedPlan candidate{.placed = placement(order, settings), .standing = {}};
  if (std::ranges::equal(candidate.placed.stages, found.placed.stages, {}, &PlacedStage::end,
                         &PlacedStage::end)) {
    return false;
  }
  candidate.standing = evaluator_->estimate(candidate.placed);
  bool exceeded = false;
  for (const Breach& breach : evaluator_->last_breaches()) {
    if (breach.kind != Violation::Kind::kMemory) continue;
    learn(candidate.placed, breach);
    exceeded = true;
  }
  if (candidate.standing.better_than(found.standing)) found = std::move(candidate);
  return exceeded;
}

void CutSearch::try_cap(double cap_s, const std::vector<std::size_t>& order,
                        const Settings& settings, const EndRanges* ends, RankedPlan& found) {
  if (!run(cap_s, ends) || !consider(order, settings, found)) return;
  for (int attempt = 0; attempt < kMemoryAttempts; ++attempt) {
    narrow(order, settings, Relaxed::kNothing);
    if (!run(cap_s, ends) || !consider(order, settings, found)) break;
  }
  std::ranges::fill(set_aside_, 0.0);
  narrow(order, settings, Relaxed::kNothing);
}

// `high_s` is possible.
double CutSearch::smallest_cap_s(double high_s, const EndRanges* ends) {
  double rate = 0.0;
  for (std::size_t p = 0; p < totals_.size(); ++p) {
    rate += speeds_[p] / std::max(totals_[p].back(), 1e-300);
  }
  double low_s = std::min(high_s, 1.0 / rate);
  while (low_s > 0.0 && high_s > low_s * kCloseEnough) {
    const double middle_s = std::sqrt(low_s * high_s);
    if (run(middle_s, ends)) {
      high_s = std::min(middle_s, std::max(low_s, bottleneck_s()));
    } else {
      low_s = middle_s;
    }
  }
  return high_s;
}

RankedPlan CutSearch::best(const std::vector<std::size_t>& order, const Settings& settings,
                           Effort effort, const EndRanges* ends) {
  describe(order, settings);
  LONGHAUL_ASSERT(!order.empty() && order.size() <= sums_->operators());
  bool possible = false;
  for (const Relaxed relaxed : {Relaxed::kNothing, Relaxed::kMemory, Relaxed::kEverything}) {
    narrow(order, settings, relaxed);
    if (possible = run(kNever, ends); possible) break;
  }
  RankedPlan found;
  if (!possible) return found;  // the ends contradict each other
  const double cap_s = smallest_cap_s(bottleneck_s(), ends);
  if (effort == Effort::kThorough || order.size() == 1) {
    try_cap(kNever, order, settings, ends, found);
  }
  const auto try_caps = [&](const auto& caps) {
    for (const double factor : caps) try_cap(cap_s * factor, order, settings, ends, found);
  };
  if (effort == Effort::kThorough) {
    try_caps(kThoroughCaps);
  } else {
    try_caps(kQuickCaps);
  }
  if (found.placed.stages.empty()) try_cap(kNever, order, settings, ends, found);
  if (found.placed.stages.empty()) {  // memory or pins cannot hold
    narrow(order, settings, Relaxed::kEverything);
    if (run(kNever, ends)) consider(order, settings, found);
  }
  return found;
}

RankedPlan CutSearch::best_under(double cap_s, const std::vector<std::size_t>& order,
                                 const Settings& settings) {
  describe(order, settings);
  narrow(order, settings, Relaxed::kNothing);
  RankedPlan found;
  if (!run(cap_s, nullptr)) return found;
  const double least_s = order.size() > 1 ? smallest_cap_s(bottleneck_s(), nullptr) : cap_s;
  try_cap(cap_s, order, settings, nullptr, found);
  if (least_s < cap_s) try_cap(least_s, order, settings, nullptr, found);
  return found;
}

}  // namespace longhaul::scheduler
