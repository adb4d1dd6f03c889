// A running mean with a restart.
#include "compression/steady_level.hpp"

#include <algorithm>
#include <cmath>

namespace longhaul::compression {
namespace {

constexpr std::uint32_t kMemory = 8;  // samples
constexpr double kSmallestJump = 0.15;
constexpr double kLargestJump = 0.6;
constexpr double kSpreads = 3.0;

bool usable(double sample) { return std::isfinite(sample) && sample > 0.0; }

}  // namespace

void SteadyLevel::see(double sample, double spread) {
  if (!usable(sample)) return;
  const double noise = usable(spread) ? kSpreads * spread : 0.0;
  const double jump = std::clamp(noise, kSmallestJump, kLargestJump);
  if (count_ == 0 || std::abs(sample / value_ - 1.0) > jump) {
    value_ = sample;
    count_ = 1;
    return;
  }
  count_ = std::min(count_ + 1, kMemory);
  value_ += (sample - value_) / count_;
}

void SteadyLevel::raise_to(double sample) {
  if (!usable(sample) || sample <= value_) return;
  value_ = sample;
  count_ = 1;
}

}  // namespace longhaul::compression
