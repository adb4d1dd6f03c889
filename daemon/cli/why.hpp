// Where a job's time goes, stage by stage and link by link, and why each link has the rung it has.
#pragma once

#include "daemon/cli/job_json.hpp"
#include "daemon/cli/tables.hpp"
#include "proto/control.pb.h"

#include <string>

namespace longhaul::daemon {

// {job, step, step_time_s, stages: [{stage, node, step_s, forward_s, backward_s, decode_s,
// agreement_s, update_s, waits: [{from, direction, wait_s}]}], links: as links_json}. All times are
// of the last step.
[[nodiscard]] Json why_json(const wire::JobStatus& job);
// The same as tables, with a last paragraph of the links' changes; or one line of JSON.
[[nodiscard]] std::string render_why(const wire::JobStatus& job, const TableOptions& options);

}  // namespace longhaul::daemon
