// The error of foreign input, formatted; for source files of this folder.
#pragma once

#include "proto/error.hpp"

#include <fmt/format.h>

#include <utility>

namespace longhaul::proto {

template <class... Arguments>
[[nodiscard]] Error refused(fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  return configuration_error(fmt::format(format, std::forward<Arguments>(arguments)...));
}

}  // namespace longhaul::proto
