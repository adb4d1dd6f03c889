// `longhaul job watch`: a job's events as progress, until it ends.
#pragma once

#include "daemon/configuration/site_files.hpp"

#include <filesystem>
#include <string>

namespace longhaul::daemon {

struct WatchOptions {
  std::string job_id;
  std::filesystem::path summary;  // empty: none
  bool json = false;
};

// Returns the job's exit code; errors are printed. Ending the watch does not end the job.
int watch_job(const ClientConfiguration& client, const WatchOptions& options);

}  // namespace longhaul::daemon
