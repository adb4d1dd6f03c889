// From a submission and the free nodes to a plan that fits their memory.
#pragma once

#include "proto/control.pb.h"
#include "proto/error.hpp"

#include <cstdint>
#include <string>
#include <vector>

namespace longhaul::daemon {

struct PlanningRequest {
  const wire::SubmitJob& submission;
  std::string job_id;
  std::uint64_t epoch = 0;
  std::vector<wire::NodeInfo> free_nodes;  // in the order in which stages are given out
  std::vector<std::string> not_free;       // "node-3 is busy with job-2", for the refusal
  std::vector<std::string> known_nodes;    // that a job may name as holders of its data
};

// Validates graph and job. Where the submission brings a plan, that is what runs, on nodes that are
// free; else splits the graph over the nodes by equal compute and checks that each
// stage fits its device: a node's first cuda device, else its cpu. Nodes that hold the job's data
// are taken before others. The assignment is stage 0's. Errors: kConfiguration for the submission,
// kResource for too few free nodes or too little memory.
[[nodiscard]] proto::Result<wire::Assignment> plan_job(const PlanningRequest& request);

}  // namespace longhaul::daemon
