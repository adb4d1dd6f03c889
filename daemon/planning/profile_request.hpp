// What is measured of a job's model, for a profile.
#pragma once

#include "proto/graph.pb.h"
#include "proto/job.pb.h"
#include "proto/profile.pb.h"

namespace longhaul::daemon {

// Shapes whose times tell what a batch and what a sequence cost: the job's own, twice the batch,
// half the sequence. Graphs, device, threads and seconds are the caller's to add.
[[nodiscard]] wire::ProfileRequest profile_request(const wire::Job& job);

}  // namespace longhaul::daemon
