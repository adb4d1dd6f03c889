// Foreign text on its way to a terminal or a log line.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace longhaul::daemon {

// The text with every control character (line ends and escapes among them) as '?', cut to
// `max_bytes` at a character's border, with "..." where something is missing.
[[nodiscard]] std::string printable(std::string_view text, std::size_t max_bytes = 80);

}  // namespace longhaul::daemon
