// Numbers as people read them.
#include "daemon/cli/format.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

namespace longhaul::daemon {
namespace {

// Three digits and a decimal prefix, from a thousand on.
std::string scaled(std::uint64_t number, std::string_view unit) {
  constexpr std::array<std::string_view, 6> kPrefixes{"k", "M", "G", "T", "P", "E"};
  if (number < 1000)
    return unit.empty() ? fmt::format("{}", number) : fmt::format("{} {}", number, unit);
  auto value = static_cast<double>(number);
  std::size_t prefix = 0;
  // 999.5 and above would be shown with four digits.
  for (value /= 1000.0; value >= 999.5 && prefix + 1 < kPrefixes.size(); ++prefix) value /= 1000.0;
  const int digits = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return fmt::format("{:.{}f} {}{}", value, digits, kPrefixes[prefix], unit);
}

}  // namespace

std::string format_bytes(std::uint64_t bytes) { return scaled(bytes, "B"); }

std::string format_count(std::uint64_t count) { return scaled(count, ""); }

std::string format_rate(double per_second) {
  if (!std::isfinite(per_second)) return "-";
  return fmt::format("{:.{}f}", per_second, per_second < 10.0 ? 2 : 0);
}

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0.0) return "-";
  constexpr double kHundredYears = 3.2e9;
  const auto whole = static_cast<std::uint64_t>(std::llround(std::min(seconds, kHundredYears)));
  const std::uint64_t hours = whole / 3600;
  const std::uint64_t minutes = whole / 60 % 60;
  if (hours >= 48) return fmt::format("{} d {} h", hours / 24, hours % 24);
  if (hours > 0) return fmt::format("{}:{:02}:{:02}", hours, minutes, whole % 60);
  return fmt::format("{}:{:02}", minutes, whole % 60);
}

std::string format_loss(double loss) { return fmt::format("{:.4f}", loss); }

std::string format_learning_rate(double rate) { return fmt::format("{:.2e}", rate); }

std::string format_age(std::uint64_t then_unix_ms, std::uint64_t now_unix_ms) {
  if (then_unix_ms == 0) return "-";
  const std::uint64_t seconds =
      now_unix_ms > then_unix_ms ? (now_unix_ms - then_unix_ms) / 1000 : 0;
  if (seconds == 0) return "now";
  if (seconds < 120) return fmt::format("{} s ago", seconds);
  if (seconds < 2 * 3600) return fmt::format("{} min ago", seconds / 60);
  if (seconds < 48 * 3600) return fmt::format("{} h ago", seconds / 3600);
  return fmt::format("{} d ago", seconds / 86400);
}

}  // namespace longhaul::daemon
