// From a job file and the options that go with it to what a coordinator is asked to train.
#pragma once

#include "proto/control.pb.h"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <filesystem>
#include <optional>

namespace longhaul::daemon {

struct SubmissionOptions {
  std::filesystem::path job;
  std::uint32_t nodes = 0;  // 0: all that are ready
  std::filesystem::path resume;
  std::filesystem::path export_to;
  std::filesystem::path plan;    // empty: the coordinator plans
  bool any_parallelism = false;  // the plan need not be one that workers execute
};

// JOB.yaml, --resume, --export and --plan.
void add_submission_options(CLI::App& command, SubmissionOptions& options);

// Prints every error of the file, and returns nothing, if there is one.
[[nodiscard]] std::optional<wire::SubmitJob> load_submission(const SubmissionOptions& options);

}  // namespace longhaul::daemon
