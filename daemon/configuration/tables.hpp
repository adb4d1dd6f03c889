// The tables of all kinds of files, for reading, kind detection and the reference.
#pragma once

#include "daemon/configuration/fleet_file.hpp"
#include "daemon/configuration/profile_file.hpp"
#include "daemon/configuration/site_files.hpp"
#include "daemon/configuration/table.hpp"
#include "proto/job.pb.h"

namespace longhaul::daemon {

[[nodiscard]] const Table<wire::Job>& job_table();
[[nodiscard]] const Table<CoordinatorConfiguration>& coordinator_table();
[[nodiscard]] const Table<NodeConfiguration>& node_table();
[[nodiscard]] const Table<ClientConfiguration>& client_table();
[[nodiscard]] const Table<FleetConfiguration>& fleet_table();
[[nodiscard]] const Table<ProfileFile>& profile_table();

}  // namespace longhaul::daemon
