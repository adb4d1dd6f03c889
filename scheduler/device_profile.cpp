// Non-negative least squares over three terms: every subset of them is tried.
#include "scheduler/device_profile.hpp"

#include "proto/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <span>

namespace longhaul::scheduler {
namespace {

constexpr std::size_t kTerms = 3;
using Terms = std::array<double, kTerms>;

Terms terms_of(double batch, double sequence) {
  return {1.0, batch * sequence, batch * sequence * sequence};
}

double sum(const Terms& coefficients, const Terms& terms) {
  double value = 0.0;
  for (std::size_t i = 0; i < kTerms; ++i) value += coefficients[i] * terms[i];
  return value;
}

// Gaussian elimination of the normal equations over the terms in `subset`; none if they are
// singular.
std::optional<Terms> solve(std::span<const ProfilePoint> points, double StageTime::*phase,
                           unsigned subset) {
  std::array<std::array<double, kTerms + 1>, kTerms> rows{};
  for (const ProfilePoint& point : points) {
    const double time = point.time.*phase;
    if (time <= 0.0) continue;
    Terms terms = terms_of(point.batch, point.sequence);
    for (double& term : terms) term /= time;  // relative errors: the wanted value is 1
    for (std::size_t i = 0; i < kTerms; ++i) {
      for (std::size_t j = 0; j < kTerms; ++j) rows[i][j] += terms[i] * terms[j];
      rows[i][kTerms] += terms[i];
    }
  }
  for (std::size_t i = 0; i < kTerms; ++i) {
    if ((subset >> i & 1u) != 0) continue;
    for (std::size_t j = 0; j < kTerms; ++j) rows[j][i] = 0.0;
    rows[i] = {};
    rows[i][i] = 1.0;
  }
  for (std::size_t i = 0; i < kTerms; ++i) {
    const double pivot = rows[i][i];
    if (!(pivot > 0.0)) return std::nullopt;
    for (std::size_t k = i + 1; k < kTerms; ++k) {
      const double factor = rows[k][i] / pivot;
      const double before = rows[k][k];
      for (std::size_t j = i; j <= kTerms; ++j) rows[k][j] -= factor * rows[i][j];
      if ((subset >> k & 1u) != 0 && rows[k][k] <= 1e-9 * before) return std::nullopt;
    }
  }
  Terms coefficients{};
  for (std::size_t i = kTerms; i-- > 0;) {
    double value = rows[i][kTerms];
    for (std::size_t j = i + 1; j < kTerms; ++j) value -= rows[i][j] * coefficients[j];
    coefficients[i] = value / rows[i][i];
    if (coefficients[i] < 0.0) return std::nullopt;
  }
  return coefficients;
}

double fitted(std::span<const ProfilePoint> points, double StageTime::*phase,
              const proto::ShapeBinding& binding) {
  std::optional<Terms> best;
  double least = std::numeric_limits<double>::infinity();
  for (unsigned subset = 1; subset < 1u << kTerms; ++subset) {
    const auto coefficients = solve(points, phase, subset);
    if (!coefficients) continue;
    double error = 0.0;
    for (const ProfilePoint& point : points) {
      const double time = point.time.*phase;
      if (time <= 0.0) continue;
      const double off = sum(*coefficients, terms_of(point.batch, point.sequence)) / time - 1.0;
      error += off * off;
    }
    if (error >= 0.999 * least) continue;  // of equal ones, that with fewer terms
    least = error;
    best = coefficients;
  }
  if (!best) return 0.0;  // it was never measured to take any time
  return sum(*best,
             terms_of(static_cast<double>(binding.batch), static_cast<double>(binding.sequence)));
}

}  // namespace

proto::Result<StageTime> time_of(const DeviceProfile& profile, const std::string& operator_class,
                                 const proto::ShapeBinding& binding) {
  const auto found = profile.operators.find(operator_class);
  if (found == profile.operators.end()) {
    std::vector<std::string_view> known;
    for (const auto& [name, points] : profile.operators) known.push_back(name);
    return proto::configuration_error(
        fmt::format("the profile of {} has no operator {}{}; measure this model with "
                    "`longhaul probe --profile`",
                    proto::quoted(profile.kind), proto::quoted(operator_class),
                    proto::did_you_mean(operator_class, known)));
  }
  for (const ProfilePoint& point : found->second) {
    if (point.batch == static_cast<double>(binding.batch) &&
        point.sequence == static_cast<double>(binding.sequence)) {
      return point.time;
    }
  }
  return StageTime{
      .forward_s = fitted(found->second, &StageTime::forward_s, binding),
      .input_gradient_s = fitted(found->second, &StageTime::input_gradient_s, binding),
      .weight_gradient_s = fitted(found->second, &StageTime::weight_gradient_s, binding)};
}

}  // namespace longhaul::scheduler
