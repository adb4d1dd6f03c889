// Orders to a coordinator that take effect later than they are accepted: each waits for that.
#pragma once

#include "daemon/cli/programs/commands.hpp"
#include "proto/control.pb.h"

#include <filesystem>
#include <string>

namespace longhaul::daemon {

struct OrderOptions {
  bool json = false;
  bool measures = false;  // a submission whose planner has nodes measure the model first
};

// Submits and says as what, on which nodes, and who planned. Where nodes measure the model first,
// a line on standard error says so, none with --json. Returns the exit code; `job_id` is set where
// there is a job.
int submit_job(const CommandLine& line, wire::SubmitJob submission, OrderOptions options,
               std::string& job_id);

// Returns when no node runs the job any more; kFailed, with a line, if one does half a minute
// later.
int cancel_job(const CommandLine& line, const std::string& job_id, OrderOptions options);

// Returns when the folder, an absolute path on stage 0's node, is written; kFailed with the reason
// if it was not, or the job ended before.
int export_job(const CommandLine& line, const std::string& job_id,
               const std::filesystem::path& folder, OrderOptions options);

}  // namespace longhaul::daemon
