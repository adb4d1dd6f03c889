// Samples into running figures.
#include "compression/rung_costs.hpp"

#include <cmath>

namespace longhaul::compression {
namespace {

constexpr double kOfOld = 0.5;

bool sound(double figure) { return std::isfinite(figure) && figure >= 0.0; }

double mixed(double old, double fresh) { return kOfOld * old + (1.0 - kOfOld) * fresh; }

std::optional<RungCost> cost_of(const RungSample& sample, std::uint64_t step) {
  const Distortion& lost = sample.distortion;
  const double share = static_cast<double>(sample.mask_density) / kWholeDensity;
  if (!(sample.entries > 0.0) || !(share > 0.0) || !(sample.bytes > 0.0)) return std::nullopt;
  RungCost cost{.bytes_per_sent = sample.bytes / (sample.entries * share),
                .encode_s = sample.encode_s / sample.entries,
                .decode_s = sample.decode_s.value_or(sample.encode_s) / sample.entries,
                .distortion = lost.squared_error == 0.0 ? 0.0 : lost.squared_error / lost.squares,
                .step = step};
  if (!sound(cost.bytes_per_sent) || !sound(cost.encode_s) || !sound(cost.decode_s) ||
      !sound(cost.distortion)) {
    return std::nullopt;
  }
  return cost;
}

}  // namespace

void RungCosts::see(std::size_t place, const RungSample& sample, std::uint64_t step) {
  const auto fresh = cost_of(sample, step);
  if (!fresh || place >= costs_.size()) return;
  auto& slot = sample.mask_density < kWholeDensity ? costs_[place].masked : costs_[place].whole;
  if (!slot) {
    slot = fresh;
    return;
  }
  slot->bytes_per_sent = mixed(slot->bytes_per_sent, fresh->bytes_per_sent);
  slot->encode_s = mixed(slot->encode_s, fresh->encode_s);
  if (sample.decode_s) slot->decode_s = mixed(slot->decode_s, fresh->decode_s);
  slot->distortion = mixed(slot->distortion, fresh->distortion);
  slot->step = step;
}

const RungCost* RungCosts::find(std::size_t place, bool masked) const {
  if (place >= costs_.size()) return nullptr;
  const auto& [whole, under_mask] = costs_[place];
  const auto& first = masked ? under_mask : whole;
  const auto& second = masked ? whole : under_mask;
  if (first) return &*first;
  return second ? &*second : nullptr;
}

}  // namespace longhaul::compression
