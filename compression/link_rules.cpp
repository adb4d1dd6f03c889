// Rules of links as formulas.
#include "compression/link_rules.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace longhaul::compression {
namespace {

// A 4-byte value with an 8-byte index against a 4-byte dense entry.
constexpr double kIndexedOverDense = 3.0;

constexpr double kForwardFromScratch = 0.6;
constexpr double kBackwardFromScratch = 0.05;
constexpr double kForwardGiven = 0.05;
constexpr double kBackwardGiven = 0.02;
constexpr double kMeasuredBoundaries = 3.0;

// What `count` links may lose each so that the same share survives as if one lost `loss`.
double shared(double loss, double count) { return 1.0 - std::pow(1.0 - loss, 1.0 / count); }

std::uint64_t annealing_steps(const Annealing& annealing) {
  const double share = std::clamp(annealing.share, 0.0, 1.0);
  return static_cast<std::uint64_t>(std::ceil(share * static_cast<double>(annealing.steps)));
}

// The values of `rung` with the selection of `selecting`.
Rung select_as(const Rung& selecting, std::uint32_t density, const Rung& rung) {
  Rung made = rung;
  made.selection = selecting.selection;
  made.own_mask = selecting.own_mask;
  made.density = density;
  made.rotated = false;
  if (rung.selection == Selection::kAll && can_be_packed(rung.format)) {
    made.packed = selecting.packed;
  }
  return made;
}

}  // namespace

double adatopk_ratio(const AdaTopK& link) {
  const double ratio = kIndexedOverDense * link.ratio * link.dense_s / link.slowest_s;
  return std::isfinite(ratio) ? std::max(1.0, ratio) : 1.0;
}

Rung indexed_rung(double ratio) {
  Rung rung;
  rung.selection = Selection::kIndexed;
  rung.own_mask = true;
  rung.density = static_cast<std::uint32_t>(std::max(1L, std::lround(kWholeDensity / ratio)));
  return rung;
}

Rung adatopk_rung(const AdaTopK& link) {
  const double ratio = adatopk_ratio(link);
  return ratio <= 1.0 ? Rung{} : indexed_rung(ratio);
}

double default_distortion(const DistortionDefault& what) {
  const auto boundaries = static_cast<double>(std::max<std::size_t>(what.boundaries, 1));
  if (!what.from_scratch) {
    return shared(what.backward ? kBackwardGiven : kForwardGiven, boundaries);
  }
  return shared(what.backward ? kBackwardFromScratch : kForwardFromScratch,
                std::max(boundaries / kMeasuredBoundaries, 1.0));
}

bool anneals(const Annealing& annealing, std::uint64_t step) {
  const std::uint64_t last = annealing_steps(annealing);
  return last > 0 && step < annealing.steps && annealing.steps - step <= last;
}

std::uint32_t annealed_density(const Annealing& annealing, std::uint64_t step) {
  if (!anneals(annealing, step)) return 0;
  const std::uint64_t start = std::max<std::uint64_t>(annealing.start, 1);
  std::uint64_t doublings = 0;
  while (start << doublings < kWholeDensity) ++doublings;
  if (doublings == 0) return kWholeDensity;
  const std::uint64_t all = annealing_steps(annealing);
  const std::uint64_t done = step - (annealing.steps - all);
  const std::uint64_t part = done * doublings / all;
  return static_cast<std::uint32_t>(std::min<std::uint64_t>(start << (part + 1), kWholeDensity));
}

Rung towards(const Rung& from, const Rung& to) {
  const std::uint64_t now = from.density;
  const std::uint64_t goal = to.density;
  if (goal * 2 < now) {
    return select_as(to, static_cast<std::uint32_t>((now + 1) / 2), to);
  }
  if (goal > now * 2) return select_as(from, static_cast<std::uint32_t>(now * 2), to);
  return to;
}

std::vector<Rung> value_rungs(std::span<const Rung> ladder) {
  std::vector<Rung> values;
  const auto add = [&values](const Rung& rung) {
    const bool known = std::any_of(values.begin(), values.end(), [&rung](const Rung& other) {
      return other.format == rung.format;
    });
    if (!known) values.push_back(rung);
  };
  for (const Rung& rung : ladder) {
    if (rung.selection == Selection::kAll) add(rung);
  }
  for (const Rung& rung : ladder) {
    if (shares_mask(rung)) add(masked_values_of(rung));
  }
  std::stable_sort(values.begin(), values.end(), [](const Rung& a, const Rung& b) {
    return static_cast<int>(a.format) > static_cast<int>(b.format);
  });
  return values;
}

Rung backward_rung(const Rung& chosen, const Rung& forward) {
  if (forward.own_mask) return forward;
  const bool coarser = static_cast<int>(chosen.format) < static_cast<int>(forward.format);
  if (!shares_mask(forward)) return coarser ? forward : chosen;
  Rung values = masked_values_of(forward);
  if (coarser || chosen.format == forward.format) return values;
  values.format = chosen.format;
  values.block = chosen.block;
  if (!is_integer(chosen.format)) values.stochastic = false;
  if (!can_be_packed(chosen.format)) values.packed = false;
  return values;
}

}  // namespace longhaul::compression
