// From a job file and the options that go with it to what a coordinator is asked to train.
#pragma once

#include "proto/control.pb.h"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace longhaul::daemon {

struct SubmissionOptions {
  std::filesystem::path job;
  std::uint32_t nodes = 0;  // 0: all that are ready
  std::filesystem::path resume;
  std::filesystem::path export_to;
  std::filesystem::path plan;    // empty: the coordinator plans
  std::string planner;           // who plans there; empty: equal-compute
  bool any_parallelism = false;  // the plan need not be one that workers execute
};

// JOB.yaml, --resume, --export and --plan.
void add_submission_options(CLI::App& command, SubmissionOptions& options);

// --planner, with this default.
void add_planner_option(CLI::App& command, SubmissionOptions& options, std::string by_default);

// Whether the coordinator has nodes measure the model first, which may take minutes.
[[nodiscard]] bool wants_profiles(const SubmissionOptions& options);

// Prints every error of the file, and returns nothing, if there is one.
[[nodiscard]] std::optional<wire::SubmitJob> load_submission(const SubmissionOptions& options);

}  // namespace longhaul::daemon
