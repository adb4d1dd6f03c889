// `longhaul plan JOB.yaml` and `longhaul simulate`: the options, and what they print.
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace longhaul::daemon {

struct JobPlanOptions {
  std::filesystem::path job;  // empty: not asked for
  std::filesystem::path fleet;
  std::filesystem::path profile;  // simulate: for every kind of the fleet
  std::filesystem::path plan;     // simulate: this plan; empty: planned
  std::string planner = "auto";
  std::string objective = "step-time";
  double deadline_s = 0.0;
  double seconds = 5.0;
  std::size_t devices = 0;
  std::vector<std::uint32_t> micro_batches;
  bool any_schedule = false;
  bool any_parallelism = false;
  std::filesystem::path trace;            // simulate
  std::vector<double> micro_batch_costs;  // simulate
  bool data_stays = false;
  std::vector<std::string> exclude;
  std::vector<std::string> pins;  // OPERATOR=NODE
  std::filesystem::path html;
  std::filesystem::path out;
};

// The job and the fleet as positional and option; all others.
void add_job_plan_options(CLI::App& command, JobPlanOptions& options);
void add_simulate_options(CLI::App& command, JobPlanOptions& options);

// Prints the plan's report, or what is wrong. Returns the exit code.
int plan_job_file(const JobPlanOptions& options, bool json);

}  // namespace longhaul::daemon
