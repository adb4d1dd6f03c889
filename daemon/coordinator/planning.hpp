// From a submission and the free nodes to a plan that fits their memory.
#pragma once

#include "daemon/planning/registered_fleet.hpp"
#include "proto/control.pb.h"
#include "proto/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::daemon {

struct PlanningRequest {
  const wire::SubmitJob& submission;
  std::string job_id;
  std::uint64_t epoch = 0;
  std::vector<wire::NodeInfo> free_nodes;  // in the order in which stages are given out
  std::vector<std::string> not_free;       // "node-3 is busy with job-2", for the refusal
  std::vector<std::string> known_nodes;    // that a job may name as holders of its data
  FleetKnowledge knowledge;                // for planners other than equal-compute
  double search_s = 2.0;                   // that the planner `auto` may search
};

inline constexpr std::string_view kEqualCompute = "equal-compute";

// Whether the job, its graph and the planner's name are such that it could be planned at all;
// kConfiguration says why not.
[[nodiscard]] proto::Result<void> check_submission(const wire::SubmitJob& submission);

// Checks the submission. Where it brings a plan, that is what runs, on nodes that are free; else
// the planner that it names plans, by default equal-compute: one stage for each node, each on a
// node's first cuda device, else its cpu. Other planners search with profiles and measured paths
// for the least step time, on as many nodes as asked for, or as serve; where a profile is missing,
// equal-compute takes their place, and the plan's notes say why. Nodes that hold the job's data
// are taken before others. The assignment is stage 0's. Errors: kConfiguration for the submission,
// kResource for too few free nodes or too little memory.
[[nodiscard]] proto::Result<wire::Assignment> plan_job(const PlanningRequest& request);

}  // namespace longhaul::daemon
