// Reads the job file, builds its graph, applies the command line's own settings.
#include "daemon/cli/programs/submission.hpp"

#include "daemon/cli/programs/commands.hpp"
#include "daemon/cli/programs/exit_code.hpp"
#include "daemon/configuration/job_file.hpp"
#include "daemon/configuration/model_source.hpp"

#include <iostream>

namespace longhaul::daemon {

void add_submission_options(CLI::App& command, SubmissionOptions& options) {
  command.add_option("job", options.job, "the job file")->required()->type_name("JOB.yaml");
  command.add_option("--resume", options.resume,
                     "continue from the newest whole checkpoint in this folder")
      ->type_name("DIR");
  command.add_option("--export", options.export_to,
                     "where the model goes at the end, as a Hugging Face folder")
      ->type_name("DIR");
}

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
  return submission;
}

}  // namespace longhaul::daemon
