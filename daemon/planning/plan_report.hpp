// What there is to say about a plan: who computes what, what crosses, what bounds it, what would
// help. Values only: plan_text, plan_json and plan_page show them.
#pragma once

#include "proto/error.hpp"
#include "proto/graph.hpp"
#include "proto/plan.hpp"
#include "scheduler/memory_estimate.hpp"
#include "scheduler/planners/evaluation.hpp"
#include "scheduler/planners/planning_problem.hpp"
#include "scheduler/simulator/simulation.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace longhaul::daemon {

struct StageRow {
  std::string node;
  std::string device;
  std::string site;
  std::string first_operator;
  std::string last_operator;
  std::size_t operators = 0;
  double compute_s = 0.0;   // per micro-batch, alone
  double busy_share = 0.0;  // of the step
  double wait_share = 0.0;
  scheduler::MemoryEstimate memory;
  std::uint64_t memory_bytes = 0;
  std::uint64_t capacity_bytes = 0;
};

struct LinkRow {
  std::size_t from = 0;  // stages
  std::size_t to = 0;
  bool backward = false;
  double dense_bytes = 0.0;  // per micro-batch
  double bytes = 0.0;
  std::string codec;
  double transfer_s = 0.0;  // encoding, wire, delay and decoding of one message alone
  double late_s = 0.0;      // per step, that its receiver waits for it
  bool hidden = false;      // it is busy for less of the step than the busiest stage computes
};

struct Rival {
  std::string planner;
  double step_s = 0.0;
  double score = 0.0;
  std::string why;  // what bounds it
};

struct WhatIf {
  std::string change;  // "twice the bandwidth from oregon to tokyo"
  double step_s = 0.0;
};

struct PlanReport {
  std::string model;
  std::string planner;
  std::string schedule;
  std::uint32_t run_ahead = 0;
  std::uint32_t micro_batches = 0;
  std::uint32_t micro_batch_size = 0;
  scheduler::PlanCost cost;
  std::vector<StageRow> stages;
  std::vector<LinkRow> links;
  std::string bottleneck;
  std::vector<Rival> rivals;                                   // best first
  std::vector<WhatIf> what_ifs;                                // most useful first
  scheduler::Simulation simulation;                            // with its timeline
  std::vector<std::pair<std::size_t, std::size_t>> transfers;  // stages of simulation.transfers
};

struct ReportInput {
  const scheduler::PlanningProblem& problem;
  const proto::Graph& graph;
  scheduler::MemoryOptions memory;
  std::int64_t sequence = 0;  // tokens
};

// The plan that workers execute.
[[nodiscard]] proto::Plan plan_of(const ReportInput& input, const scheduler::PlacedPipeline& placed,
                                  proto::PlanEpoch epoch);

// Everything but rivals and what-ifs.
[[nodiscard]] PlanReport report_of(const ReportInput& input,
                                   const scheduler::PlacedPipeline& placed,
                                   const std::string& planner);

// "stage 2 on c computes 93 % of the step", or what a transfer makes its receiver wait.
[[nodiscard]] std::string bottleneck_of(const scheduler::PlanningProblem& problem,
                                        const scheduler::PlacedPipeline& placed,
                                        const scheduler::PipelineWork& work,
                                        const scheduler::Simulation& outcome);

// The same plan with each link's path twice as fast, and a new plan of the same planner
// with one more device of each kind that is used, beside its like.
[[nodiscard]] std::vector<WhatIf> what_ifs_of(const scheduler::PlanningProblem& problem,
                                              const scheduler::PlacedPipeline& placed,
                                              scheduler::PlannerKind planner,
                                              const scheduler::PlannerBudget& budget);

}  // namespace longhaul::daemon
