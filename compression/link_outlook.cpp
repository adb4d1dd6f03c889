// Times from measured costs, and the choice among them.
#include "compression/link_outlook.hpp"

#include "compression/link_rules.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace longhaul::compression {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kDenseBytes = 4.0;       // per entry
constexpr double kAgainAllowed = 0.9;     // of the budget, for a rung that was too coarse
constexpr std::size_t kNear = 2;          // places
constexpr std::uint64_t kFarTrials = 10;  // times the trial age, for rungs that are not near

double share_of(std::uint32_t density) { return static_cast<double>(density) / kWholeDensity; }

bool coarser(const Rung& values, const Rung& forward) {
  return static_cast<int>(values.format) < static_cast<int>(forward.format);
}

std::size_t distance(std::size_t a, std::size_t b) { return a > b ? a - b : b - a; }

}  // namespace

LinkOutlook::LinkOutlook(const PolicyOptions& options)
    : options_(options),
      rungs_(options.backward ? value_rungs(options.ladder) : options.ladder),
      costs_(rungs_.size()),
      too_coarse_(rungs_.size(), false),
      barred_from_(rungs_.size()) {}

void LinkOutlook::see(const StepInput& input) {
  step_ = input.step;
  const LinkReading& link = input.link;
  lower_bound_ = link.lower_bound;
  if (link.lower_bound) {
    goodput_.raise_to(link.goodput_bytes_per_s);
  } else {
    goodput_.see(link.goodput_bytes_per_s, link.spread);
  }
  budget_.see(input.budget_s);
  water_.see(input.water_level_s);
  if (std::isfinite(input.entries) && input.entries > 0.0) entries_ = input.entries;
  if (options_.backward) {
    forward_ = input.forward.value_or(options_.ladder.front());
    forward_hardest_ = std::min(input.forward_hardest, options_.ladder.size() - 1);
  }
  for (const RungSample& sample : input.samples) {
    const auto same = std::find_if(rungs_.begin(), rungs_.end(), [&](const Rung& rung) {
      return options_.backward ? rung.format == sample.rung.format : rung == sample.rung;
    });
    if (same == rungs_.end()) continue;  // an intermediate rung
    costs_.see(static_cast<std::size_t>(same - rungs_.begin()), sample, input.step);
  }
  for (std::size_t place = 1; place < size(); ++place) {
    const auto lost = distortion(place);
    const double most = options_.distortion * (too_coarse_[place] ? kAgainAllowed : 1.0);
    too_coarse_[place] = lost && *lost > most;
  }
}

void LinkOutlook::bar(std::size_t place, std::uint64_t until) {
  barred_from_ = barred_until_ > step_ ? std::min(place, barred_from_) : place;
  barred_until_ = std::max(barred_until_, until);
}

bool LinkOutlook::masked() const { return options_.backward && shares_mask(forward_); }

Rung LinkOutlook::sent(std::size_t place) const {
  return options_.backward ? backward_rung(rungs_[place], forward_) : rungs_[place];
}

bool LinkOutlook::known() const { return goodput_.known() && budget_.known() && entries_ > 0.0; }

std::optional<double> LinkOutlook::time_under(std::size_t place, const Rung& forward) const {
  const bool under_mask = options_.backward && shares_mask(forward);
  if (!goodput_.known()) return std::nullopt;
  const RungCost* const cost = costs_.find(place, under_mask);
  const double share = under_mask ? share_of(forward.density) : 1.0;
  if (cost == nullptr) {
    // Nothing is encoded there: no sample is needed to know it.
    if (rungs_[place] != Rung{}) return std::nullopt;
    return entries_ * kDenseBytes * share / goodput_.value();
  }
  const double wire_s = cost->bytes_per_sent * share / goodput_.value();
  return entries_ * (cost->encode_s + wire_s + cost->decode_s);
}

std::optional<double> LinkOutlook::time_s(std::size_t place) const {
  return time_under(place, forward_);
}

std::optional<double> LinkOutlook::coding_s(std::size_t place) const {
  const RungCost* const cost = costs_.find(place, masked());
  if (cost == nullptr) return std::nullopt;
  return entries_ * (cost->encode_s + cost->decode_s);
}

std::optional<double> LinkOutlook::distortion(std::size_t place) const {
  const RungCost* const cost = costs_.find(place, masked());
  if (cost == nullptr) return std::nullopt;
  return cost->distortion;
}

bool LinkOutlook::coarser_than_forward(std::size_t place) const {
  return options_.backward && coarser(rungs_[place], forward_);
}

bool LinkOutlook::barred(std::size_t place) const {
  return step_ < barred_until_ && place >= barred_from_;
}

bool LinkOutlook::allowed(std::size_t place) const {
  if (place == 0) return true;
  return costs_.find(place, masked()) != nullptr && !too_coarse_[place] && !barred(place) &&
         rungs_[place].density >= floor_ && !coarser_than_forward(place);
}

std::optional<std::size_t> LinkOutlook::pick(double limit_s) const {
  std::optional<std::size_t> best;
  double least_s = kInfinity;
  double least_bytes = kInfinity;
  for (std::size_t place = 0; place < size(); ++place) {
    const auto time = time_s(place);
    if (!time || !allowed(place)) continue;
    const RungCost* const cost = costs_.find(place, masked());
    const double bytes = cost == nullptr ? kDenseBytes : cost->bytes_per_sent;
    if (*time >= least_s || bytes >= least_bytes) continue;
    least_s = *time;
    least_bytes = bytes;
    best = place;
    if (least_s <= limit_s) break;
  }
  return best;
}

bool LinkOutlook::complete() const {
  for (std::size_t place = 0; place < size(); ++place) {
    if (costs_.find(place, masked()) == nullptr) return false;
  }
  return true;
}

std::optional<double> LinkOutlook::fastest_under(std::size_t ladder_place) const {
  const Rung& forward = options_.ladder[ladder_place];
  std::optional<double> least;
  for (std::size_t place = 0; place < size(); ++place) {
    if (too_coarse_[place] || barred(place) || coarser(rungs_[place], forward)) continue;
    const auto time = time_under(place, forward);
    if (time && (!least || *time < *least)) least = time;
  }
  return least;
}

double LinkOutlook::fastest_s() const {
  if (!options_.backward) {
    const auto fastest = pick(0.0);
    return fastest ? time_s(*fastest).value_or(0.0) : 0.0;
  }
  double least = kInfinity;
  for (std::size_t place = 0; place <= forward_hardest_; ++place) {
    least = std::min(least, fastest_under(place).value_or(kInfinity));
  }
  return std::isfinite(least) ? least : 0.0;
}

double LinkOutlook::best_time_s(std::size_t in_use) const {
  if (!known() || !complete()) return 0.0;
  const double least = fastest_s();
  if (!lower_bound_) return least;
  return std::min(least, std::max(budget_.value(), coding_s(in_use).value_or(0.0)));
}

double LinkOutlook::limit_s() const {
  return std::max({budget_.value(), water_.value(), fastest_s()});
}

std::size_t LinkOutlook::forward_place() const {
  const auto& ladder = options_.ladder;
  const auto found = std::find_if(ladder.begin(), ladder.end(), [this](const Rung& rung) {
    return rung == forward_ || rung.density < forward_.density;
  });
  return found == ladder.end() ? ladder.size() - 1
                               : static_cast<std::size_t>(found - ladder.begin());
}

std::size_t LinkOutlook::demand(double limit_s) const {
  std::size_t fastest = 0;
  double least_s = kInfinity;
  for (std::size_t place = 0; place <= forward_hardest_; ++place) {
    const auto time = fastest_under(place);
    if (!time || *time >= least_s) continue;
    least_s = *time;
    fastest = place;
    if (least_s <= limit_s) break;
  }
  return fastest;
}

std::vector<Rung> LinkOutlook::trials(std::size_t in_use, std::size_t most) const {
  // First by rank, then by distance or by step.
  std::vector<std::pair<std::pair<int, std::uint64_t>, std::size_t>> wanted;
  for (std::size_t place = 0; place < size(); ++place) {
    const RungCost* const cost = costs_.find(place, masked());
    const std::size_t far = distance(place, in_use);
    if (cost == nullptr) {
      wanted.push_back({{0, far}, place});
      continue;
    }
    const std::uint64_t age = step_ > cost->step ? step_ - cost->step : 0;
    const bool near = far <= kNear && place != in_use;
    if (age >= options_.trial_age * (near ? 1 : kFarTrials)) {
      wanted.push_back({{near ? 1 : 2, cost->step}, place});
    }
  }
  std::sort(wanted.begin(), wanted.end());
  if (wanted.size() > most) wanted.resize(most);
  std::vector<Rung> rungs;
  for (const auto& entry : wanted) {
    const std::size_t place = entry.second;
    rungs.push_back(coarser_than_forward(place) ? rungs_[place] : sent(place));
  }
  return rungs;
}

}  // namespace longhaul::compression
