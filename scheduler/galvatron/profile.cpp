// Completeness, and least squares over the measured points.
#include "scheduler/galvatron/profile.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace longhaul::scheduler::galvatron {
namespace {

struct Point {
  double x = 0.0;
  double y = 0.0;
};

constexpr std::size_t kMaxTerms = 3;

// Of the polynomial with so many terms that is closest to the points: constant first. Normal
// equations by elimination; good to 1e-12 where x lies within [0, 1].
std::array<double, kMaxTerms> least_squares(const std::vector<Point>& points, std::size_t terms) {
  std::array<std::array<double, kMaxTerms + 1>, kMaxTerms> rows{};
  for (const Point& point : points) {
    for (std::size_t i = 0; i < terms; ++i) {
      for (std::size_t j = 0; j < terms; ++j) {
        rows[i][j] += std::pow(point.x, static_cast<double>(i + j));
      }
      rows[i][kMaxTerms] += std::pow(point.x, static_cast<double>(i)) * point.y;
    }
  }
  for (std::size_t i = 0; i < terms; ++i) {
    for (std::size_t k = i + 1; k < terms; ++k) {
      const double factor = rows[k][i] / rows[i][i];
      for (std::size_t j = i; j <= kMaxTerms; ++j) rows[k][j] -= factor * rows[i][j];
    }
  }
  std::array<double, kMaxTerms> result{};
  for (std::size_t i = terms; i-- > 0;) {
    double value = rows[i][kMaxTerms];
    for (std::size_t j = i + 1; j < terms; ++j) value -= rows[i][j] * result[j];
    result[i] = value / rows[i][i];
  }
  return result;
}

double fitted(const std::vector<TimeAtSequence>& times, std::size_t terms, std::uint64_t sequence) {
  double largest = 0.0;
  for (const auto& time : times) largest = std::max(largest, static_cast<double>(time.sequence));
  std::vector<Point> points;
  for (const auto& time : times) {
    points.push_back({static_cast<double>(time.sequence) / largest, time.ms});
  }
  const auto factors = least_squares(points, terms);
  const double x = static_cast<double>(sequence) / largest;
  return factors[0] + x * (factors[1] + x * factors[2]);
}

// Keeps the first thing that is wrong.
class Check {
 public:
  explicit Check(std::uint32_t devices) : devices_(devices) {}

  void number(std::string_view what, double value) {
    if (!(value > 0.0) || !std::isfinite(value)) {
      refuse(fmt::format("{} is {}; it must be a positive number", what, value));
    }
  }

  void times(std::string_view what, const std::vector<TimeAtSequence>& times, std::size_t least) {
    std::set<std::uint64_t> sequences;
    for (const auto& time : times) {
      sequences.insert(time.sequence);
      number(fmt::format("{} at sequence {}", what, time.sequence), time.ms);
      number(fmt::format("a sequence of {}", what), static_cast<double>(time.sequence));
    }
    if (sequences.size() < least) {
      refuse(fmt::format("{} is measured at {} sequence lengths; the fit needs at least {}", what,
                         sequences.size(), least));
    }
  }

  void degrees(std::string_view what, const ByDegree& values, std::uint32_t first,
               std::uint32_t last) {
    for (std::uint64_t degree = first; degree <= last; degree *= 2) {
      const auto found = values.find(static_cast<std::uint32_t>(degree));
      if (found == values.end()) {
        refuse(fmt::format("{} of degree {} is missing; {} devices need {} to {}", what, degree,
                           devices_, first, last));
      } else {
        number(fmt::format("{} of degree {}", what, degree), found->second);
      }
    }
  }

  void sizes(std::string_view what, const std::map<std::uint32_t, MsBySize>& by_degree) {
    for (std::uint64_t degree = 2; degree <= devices_; degree *= 2) {
      const auto found = by_degree.find(static_cast<std::uint32_t>(degree));
      const std::size_t count = found == by_degree.end() ? 0 : found->second.size();
      if (count < 2) {
        refuse(fmt::format("{} of {} devices is measured at {} sizes; at least 2 are needed", what,
                           degree, count));
        continue;
      }
      for (const auto& [size, ms] : found->second) {
        number(fmt::format("{} of {} devices at {} MB", what, degree, size), ms);
      }
    }
  }

  void rest(std::string_view where, const RestMemory& memory) {
    degrees(fmt::format("model state of embedding and head {}", where), memory.states_mb, 1,
            devices_);
    degrees(fmt::format("activation of embedding and head {}", where), memory.activation_mb, 1,
            devices_);
  }

  void refuse(std::string message) {
    if (!error_) error_ = proto::configuration_error("the profile: " + std::move(message));
  }
  [[nodiscard]] proto::Result<void> result() const {
    if (error_) return *error_;
    return {};
  }

 private:
  std::uint32_t devices_;
  std::optional<proto::Error> error_;
};

ByDegree scaled(ByDegree values, double factor) {
  for (auto& [degree, value] : values) value *= factor;
  return values;
}

}  // namespace

proto::Result<void> check(const Profile& profile, std::uint32_t devices) {
  Check checked(devices);
  checked.times("the layer's time", profile.layer_times, 3);
  checked.times("the time of embedding and head", profile.rest_times, 2);
  if (profile.layer_memory.empty()) {
    checked.refuse("the layer's memory is missing");
  } else {
    const auto& [sequence, longest] = *profile.layer_memory.rbegin();
    checked.number("the longest sequence of the layer's memory", static_cast<double>(sequence));
    checked.number("the layer's parameters", profile.layer_memory.begin()->second.parameters_mb);
    checked.degrees("the layer's activation", longest.activation_mb, 1, devices);
    checked.number("the layer's activation with checkpoint", longest.checkpoint_activation_mb);
    const auto rest = profile.rest_memory.find(sequence);
    if (rest == profile.rest_memory.end()) {
      checked.refuse(
          fmt::format("the memory of embedding and head is missing at sequence {}, the longest of "
                      "the layer's",
                      sequence));
    } else {
      checked.rest("without a pipeline", rest->second.alone);
      checked.rest("on the first stage", rest->second.first);
      checked.rest("on the last stage", rest->second.last);
    }
  }
  checked.degrees("all-reduce bandwidth", profile.all_reduce_gb_per_s, 2, devices);
  checked.degrees("strided all-reduce bandwidth", profile.strided_all_reduce_gb_per_s, 2,
                  devices / 2);
  checked.degrees("point-to-point bandwidth", profile.point_to_point_gb_per_s, 2, devices);
  checked.sizes("all-reduce time", profile.all_reduce_ms);
  checked.sizes("all-to-all time", profile.all_to_all_ms);
  checked.number("the slowdown by overlap", profile.overlap_slowdown);
  return checked.result();
}

CollectiveTime::CollectiveTime(MsBySize measured) : measured_(std::move(measured)) {
  const double largest = static_cast<double>(measured_.rbegin()->first);
  std::vector<Point> points;
  for (const auto& [size, ms] : measured_) {
    points.push_back({static_cast<double>(size) / largest, ms});
  }
  const auto factors = least_squares(points, 2);
  constant_ = factors[0];
  slope_ = factors[1] / largest;
}

double CollectiveTime::ms(double message_mb) const {
  const double whole = std::floor(message_mb);
  if (whole == message_mb && whole >= 0.0 && whole < 0x1p63) {
    const auto found = measured_.find(static_cast<std::uint64_t>(whole));
    if (found != measured_.end()) return found->second;
  }
  return slope_ * message_mb + constant_;
}

proto::Result<ModelAtSequence> at_sequence(const Profile& profile, std::uint64_t sequence) {
  ModelAtSequence result{.layer_ms = fitted(profile.layer_times, 3, sequence),
                         .rest_ms = fitted(profile.rest_times, 2, sequence),
                         .layer = {},
                         .rest = {}};
  for (const auto& [what, ms] :
       {std::pair{"a layer", result.layer_ms}, std::pair{"embedding and head", result.rest_ms}}) {
    if (!(ms > 0.0) || !std::isfinite(ms)) {
      return proto::configuration_error(
          fmt::format("the fit over the profile's times gives {} {:.3g} ms at sequence {}; profile "
                      "sequences around it",
                      what, ms, sequence));
    }
  }
  const auto& [longest, layer] = *profile.layer_memory.rbegin();
  const double factor = static_cast<double>(sequence) / static_cast<double>(longest);
  result.layer = layer;
  result.layer.parameters_mb = profile.layer_memory.begin()->second.parameters_mb;
  result.layer.activation_mb = scaled(layer.activation_mb, factor);
  result.layer.checkpoint_activation_mb *= factor;
  result.rest = profile.rest_memory.at(longest);
  for (RestMemory* rest : {&result.rest.alone, &result.rest.first, &result.rest.last}) {
    rest->activation_mb = scaled(rest->activation_mb, factor);
  }
  return result;
}

}  // namespace longhaul::scheduler::galvatron
