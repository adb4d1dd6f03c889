// The version that all programs report.
#pragma once

#include <string_view>

namespace longhaul::daemon {

inline constexpr std::string_view kVersion = LONGHAUL_VERSION;

}  // namespace longhaul::daemon
