// Reads the job file, builds its graph, applies the command line's own settings.
#include "daemon/cli/programs/submission.hpp"

#include "daemon/cli/programs/commands.hpp"
#include "daemon/cli/programs/exit_code.hpp"
#include "daemon/configuration/job_file.hpp"
#include "daemon/configuration/model_source.hpp"
#include "daemon/configuration/reading.hpp"
#include "daemon/coordinator/planning.hpp"
#include "daemon/planning/job_planning.hpp"
#include "proto/plan.hpp"

#include <iostream>
#include <utility>

namespace longhaul::daemon {

namespace {

constexpr std::size_t kMaxPlanBytes = 64u << 20;

}  // namespace

void add_submission_options(CLI::App& command, SubmissionOptions& options) {
  command.add_option("job", options.job, "the job file")->required()->type_name("JOB.yaml");
  command
      .add_option("--resume", options.resume,
                  "continue from the newest whole checkpoint in this folder")
      ->type_name("DIR");
  command
      .add_option("--export", options.export_to,
                  "where the model goes at the end, as a Hugging Face folder")
      ->type_name("DIR");
  command.add_option("--plan", options.plan, "run this plan, as `longhaul plan --out` writes it")
      ->type_name("FILE.json");
}

void add_planner_option(CLI::App& command, SubmissionOptions& options, std::string by_default) {
  options.planner = std::move(by_default);
  command
      .add_option("--planner", options.planner,
                  "who plans: equal-compute needs to know nothing; before the others plan, each "
                  "kind of node measures the model once, for about half a minute")
      ->capture_default_str()
      ->check(CLI::Validator(
          [](const std::string& name) {
            return planner_named(name) ? std::string() : "there is no planner " + name;
          },
          "NAME"));
}

bool wants_profiles(const SubmissionOptions& options) {
  return options.plan.empty() && !options.planner.empty() && options.planner != kEqualCompute;
}

namespace {

// The plan's file into the submission.
proto::Result<void> add_plan(const std::filesystem::path& file, bool any_parallelism,
                             wire::SubmitJob& submission) {
  const auto text = read_text(file, kMaxPlanBytes);
  if (!text) return proto::configuration_error(to_string(text.error()));
  auto plan = proto::parse_plan_json(*text);
  if (!plan) return proto::with_context(file.string(), plan.error());
  const auto graph = proto::Graph::from_wire(submission.graph());
  if (!graph) return graph.error();
  if (!any_parallelism) {
    if (const auto good = proto::Plan::from_wire(*plan, *graph); !good) {
      return proto::with_context(file.string(), good.error());
    }
  }
  *submission.mutable_plan() = std::move(*plan);
  return {};
}

}  // namespace

std::optional<wire::SubmitJob> load_submission(const SubmissionOptions& options) {
  const auto job = load_job(options.job);
  if (!job) {
    std::cerr << to_string(job.error()) << '\n';
    return std::nullopt;
  }
  wire::SubmitJob submission;
  submission.set_nodes(options.nodes);
  *submission.mutable_job() = *job;
  if (!options.resume.empty()) {
    submission.mutable_job()->set_resume(std::filesystem::absolute(options.resume).string());
  }
  if (!options.export_to.empty()) {
    submission.mutable_job()->set_export_directory(
        std::filesystem::absolute(options.export_to).string());
  }
  auto graph = build_graph(submission.job());
  if (!graph) {
    print_error(kLonghaul, graph.error().message);
    return std::nullopt;
  }
  *submission.mutable_graph() = std::move(*graph);
  submission.set_planner(options.planner);
  if (wants_profiles(options)) {
    auto graphs = build_profile_graphs(submission.job());
    if (!graphs) {
      print_error(kLonghaul, graphs.error().message);
      return std::nullopt;
    }
    for (wire::Graph& one : *graphs) *submission.add_profile_graphs() = std::move(one);
  }
  if (!options.plan.empty()) {
    if (const auto added = add_plan(options.plan, options.any_parallelism, submission); !added) {
      print_error(kLonghaul, added.error().message);
      return std::nullopt;
    }
  }
  return submission;
}

}  // namespace longhaul::daemon
