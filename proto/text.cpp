// Quoting of foreign names and the search for the nearest known one.
#include "proto/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <numeric>
#include <vector>

namespace longhaul::proto {
namespace {

constexpr std::size_t kShownBytes = 80;
constexpr std::size_t kMaximumComparedBytes = 64;

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }
bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> above_that(b.size() + 1);
  std::vector<std::size_t> above(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    above_that.swap(above);
    above.swap(row);
    row[0] = i + 1;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t substitution = above[j] + (a[i] == b[j] ? 0 : 1);
      row[j + 1] = std::min({substitution, row[j] + 1, above[j + 1] + 1});
      if (i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j]) {
        row[j + 1] = std::min(row[j + 1], above_that[j - 1] + 1);
      }
    }
  }
  return row[b.size()];
}

}  // namespace

std::string quoted(std::string_view text) {
  std::size_t shown = std::min(text.size(), kShownBytes);
  while (shown < text.size() && shown > 0 && continues_character(text[shown])) --shown;
  std::string out = "'";
  for (const char c : text.substr(0, shown)) {
    if (is_control(c)) {
      fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      out += c;
    }
  }
  return out + (shown < text.size() ? "...'" : "'");
}

Result<void> check_name(std::string_view what, std::string_view name) {
  if (name.empty()) return configuration_error(fmt::format("{} without a name", what));
  if (name.size() > kMaximumNameBytes) {
    return configuration_error(fmt::format("{} name {} has {} bytes; at most {} are allowed", what,
                                           quoted(name), name.size(), kMaximumNameBytes));
  }
  if (std::any_of(name.begin(), name.end(), is_control)) {
    return configuration_error(
        fmt::format("{} name {} holds control characters", what, quoted(name)));
  }
  return {};
}

std::string_view nearest_name(std::string_view name,
                              std::span<const std::string_view> candidates) {
  if (name.size() > kMaximumComparedBytes) return {};
  std::size_t best = std::max<std::size_t>(1, name.size() / 3) + 1;
  std::string_view nearest;
  for (const std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(name, candidate);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string did_you_mean(std::string_view name, std::span<const std::string_view> candidates) {
  const std::string_view nearest = nearest_name(name, candidates);
  return nearest.empty() ? std::string() : fmt::format("; did you mean '{}'?", nearest);
}

}  // namespace longhaul::proto
