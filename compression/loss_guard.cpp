// Medians before and after, and the noise between them.
#include "compression/loss_guard.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace longhaul::compression {
namespace {

constexpr std::size_t kBefore = 32;
constexpr std::size_t kEnoughBefore = 16;
constexpr std::size_t kEnoughAfter = 8;
constexpr std::size_t kAfter = 48;
constexpr std::uint32_t kSettle = 2;  // steps after a change that are not looked at
constexpr double kAlarm = 5.0;
constexpr double kSmallestNoise = 1e-3;
constexpr double kDeviationToSigma = 1.4826;
constexpr double kMedianNoise = 1.2533;

double median(std::vector<double> values) {
  const std::size_t half = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(half),
                   values.end());
  const double upper = values[half];
  if (values.size() % 2 == 1) return upper;
  const double lower =
      *std::max_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(half));
  return 0.5 * (lower + upper);
}

}  // namespace

std::optional<LossGuard::Rise> LossGuard::see(double loss) {
  if (!watching_) {
    if (!std::isfinite(loss)) return std::nullopt;
    before_.push_back(loss);
    if (before_.size() > kBefore) before_.pop_front();
    return std::nullopt;
  }
  if (skip_ > 0) {
    --skip_;
    return std::nullopt;
  }
  after_.push_back(std::isfinite(loss) ? loss : std::numeric_limits<double>::infinity());
  if (const auto rise = compare()) {
    watch();  // losses under the rung that is taken back say nothing of the next
    return rise;
  }
  if (after_.size() >= kAfter) stop();
  return std::nullopt;
}

void LossGuard::watch() {
  if (before_.size() < kEnoughBefore) return;
  watching_ = true;
  after_.clear();
  skip_ = kSettle;
}

void LossGuard::stop() {
  watching_ = false;
  for (const double loss : after_) {
    if (!std::isfinite(loss)) continue;
    before_.push_back(loss);
    if (before_.size() > kBefore) before_.pop_front();
  }
  after_.clear();
}

std::optional<LossGuard::Rise> LossGuard::compare() const {
  if (after_.size() < kEnoughAfter) return std::nullopt;
  const double before = median({before_.begin(), before_.end()});
  const double after = median(after_);
  std::vector<double> deviations;
  for (const double loss : before_) deviations.push_back(std::abs(loss - before));
  const double noise = std::max({kDeviationToSigma * median(std::move(deviations)),
                                 kSmallestNoise * std::abs(before), 1e-12});
  const double samples =
      1.0 / static_cast<double>(before_.size()) + 1.0 / static_cast<double>(after_.size());
  const double sigmas = (after - before) / (kMedianNoise * noise * std::sqrt(samples));
  if (!(sigmas > kAlarm)) return std::nullopt;
  return Rise{.before = before, .after = after, .sigmas = sigmas};
}

}  // namespace longhaul::compression
