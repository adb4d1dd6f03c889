// What there is to say about a plan: who computes what, what crosses, what bounds it, what would
// help. Values only: plan_text, plan_json and plan_page show them.
#pragma once

#include "scheduler/memory_estimate.hpp"
#include "scheduler/groups/grouped_plan.hpp"
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
  std::vector<std::string> more_devices;  // "NODE DEVICE", beside the one above
  struct Spread {
    std::size_t operators = 0;
    std::string strategy;  // scheduler::strategy_text
  };
  std::vector<Spread> spreads;  // where there are more devices
  double compute_s = 0.0;       // per micro-batch, alone
  double busy_share = 0.0;      // of the step
  double wait_share = 0.0;
  scheduler::MemoryEstimate memory;
  std::uint64_t memory_bytes = 0;
  std::uint64_t capacity_bytes = 0;
};

struct LinkRow {
  std::size_t from = 0;  // stages
  std::size_t to = 0;
  bool backward = false;
  bool tied = false;         // gradients of parameters that both stages use: once per step
  double dense_bytes = 0.0;  // per micro-batch; of tied gradients per step
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
  bool runs_today = true;  // workers execute one device per stage so far
  scheduler::PlanCost cost;
  std::vector<StageRow> stages;
  std::vector<LinkRow> links;
  std::string bottleneck;
  std::vector<Rival> rivals;                                   // best first
  std::vector<WhatIf> what_ifs;                                // most useful first
  scheduler::Simulation simulation;                            // with its timeline
  std::vector<std::pair<std::size_t, std::size_t>> transfers;  // stages of simulation.transfers
};

// Everything but rivals and what-ifs. `fleet`: whose devices the plan's groups have. The plan's
// problem has a stage_memory.
[[nodiscard]] PlanReport report_of(const scheduler::Fleet& fleet,
                                   const scheduler::GroupedPlan& plan, const std::string& planner);

// "stage 2 on c computes 93 % of the step", or what a transfer makes its receiver wait.
[[nodiscard]] std::string bottleneck_of(const scheduler::PlanningProblem& problem,
                                        const scheduler::PlacedPipeline& placed,
                                        const scheduler::PipelineWork& work,
                                        const scheduler::Simulation& outcome);

// The same plan with the path of each pair of stages that exchange something twice as fast, and a
// new plan of the same planner with one more device of each kind that is used, beside its like.
// `problem`: what was asked.
[[nodiscard]] std::vector<WhatIf> what_ifs_of(const scheduler::PlanningProblem& problem,
                                              const scheduler::GroupedPlan& plan,
                                              scheduler::PlannerKind planner,
                                              const scheduler::PlannerBudget& budget);

}  // namespace longhaul::daemon
