// How foreign names appear in one-line error messages, and what the user may have meant.
#pragma once

#include "proto/error.hpp"

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace longhaul::proto {

// The longest name of a graph, operator, parameter, node or job, in bytes.
inline constexpr std::size_t kMaximumNameBytes = 256;

// 'text' in single quotes, control characters as \xNN, cut after 80 bytes at a character's start:
// a peer's name can neither break the line nor flood the log.
[[nodiscard]] std::string quoted(std::string_view text);

// Refuses what is empty, longer than kMaximumNameBytes or holds control characters. `what` says
// whose name it is ("operator").
[[nodiscard]] Result<void> check_name(std::string_view what, std::string_view name);

// The candidate with the smallest edit distance (two neighbours swapped are one edit), if that is
// at most a third of the name's length (at least 1); the first of equals; empty if none is near or
// the name is over 64 bytes.
[[nodiscard]] std::string_view nearest_name(std::string_view name,
                                            std::span<const std::string_view> candidates);

// "; did you mean 'candidate'?" for the nearest name, or else "".
[[nodiscard]] std::string did_you_mean(std::string_view name,
                                       std::span<const std::string_view> candidates);

}  // namespace longhaul::proto
