// Which model a profile is of, as a number.
#pragma once

#include "proto/profile.pb.h"

#include <cstdint>

namespace longhaul::proto {

// Of graphs, shapes and precision: equal models give equal keys in every process. Device, threads
// and the time to spend do not count.
[[nodiscard]] std::uint64_t profile_key(const wire::ProfileRequest& request);

}  // namespace longhaul::proto
