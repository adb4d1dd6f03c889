// Between proto::Error, as code returns it, and wire::Failure, as messages carry it.
#pragma once

#include "proto/control.pb.h"
#include "proto/error.hpp"

#include <string>

namespace longhaul::proto {

[[nodiscard]] wire::Failure to_failure(const Error& error);
[[nodiscard]] Error to_error(const wire::Failure& failure);

// The text without line ends and other control characters, cut after 2000 bytes at a character's
// border: what a worker words reaches a user as one line.
[[nodiscard]] std::string one_line(std::string text);

}  // namespace longhaul::proto
