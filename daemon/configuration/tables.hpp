// The tables of all kinds of files, for reading, kind detection and the reference.
#pragma once

#include "daemon/configuration/site_files.hpp"
#include "daemon/configuration/table.hpp"
#include "proto/job.pb.h"

#include <cstdint>

namespace longhaul::daemon {

inline constexpr std::uint64_t kMaxSteps = 1'000'000'000;
inline constexpr std::uint64_t kMaxBatch = 1u << 20;

[[nodiscard]] const Table<wire::Job>& job_table();
[[nodiscard]] const Table<CoordinatorConfiguration>& coordinator_table();
[[nodiscard]] const Table<NodeConfiguration>& node_table();
[[nodiscard]] const Table<ClientConfiguration>& client_table();

}  // namespace longhaul::daemon
