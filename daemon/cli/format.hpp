// Numbers as people read them.
#pragma once

#include <cstdint>
#include <string>

namespace longhaul::daemon {

[[nodiscard]] std::string format_bytes(std::uint64_t bytes);  // "512 B", "1.50 MB", decimal units
[[nodiscard]] std::string format_count(std::uint64_t count);  // "512", "1.50 M"
[[nodiscard]] std::string format_rate(double per_second);     // "0.52", "512", "15300"
[[nodiscard]] std::string format_duration(double seconds);    // "0:07", "1:02:03", "2 d 3 h"
[[nodiscard]] std::string format_loss(double loss);           // "5.4321", "nan"
[[nodiscard]] std::string format_learning_rate(double rate);  // "6.00e-04"
// "now", "7 s ago", "3 min ago", "2 h ago", "5 d ago"; "-" for a time that is not known (0).
[[nodiscard]] std::string format_age(std::uint64_t then_unix_ms, std::uint64_t now_unix_ms);

}  // namespace longhaul::daemon
