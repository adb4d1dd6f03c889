// `longhaul plan` and `longhaul simulate`: what would run where, before anything runs. Each source
// of plans has its own options and its own file.
#include "daemon/cli/programs/commands.hpp"
#include "daemon/cli/programs/exit_code.hpp"
#include "daemon/cli/programs/galvatron_command.hpp"
#include "daemon/cli/programs/job_plan_command.hpp"

#include <memory>

namespace longhaul::daemon {

namespace {

struct PlanOptions {
  GalvatronOptions galvatron;
  JobPlanOptions job;
  bool json = false;
};

int plan(const PlanOptions& options) {
  if (!options.galvatron.profile.empty()) {
    return plan_from_galvatron(options.galvatron, options.json);
  }
  if (options.job.job.empty()) {
    return fail(kLonghaul,
                proto::configuration_error(
                    "nothing to plan; give JOB.yaml and --fleet, or --galvatron-profile"));
  }
  return plan_job_file(options.job, options.json);
}

}  // namespace

void add_plan_command(CommandLine& line) {
  auto options = std::make_shared<PlanOptions>();
  auto* command =
      line.app.add_subcommand("plan", "how to spread a model over devices, and how fast that is");
  add_job_plan_options(*command, options->job);
  add_galvatron_options(*command, options->galvatron);
  command->get_option("job")->excludes(command->get_option("--galvatron-profile"));
  add_json_option(*command, options->json);
  command->callback(
      [&line, options] { line.action = [options] { return plan(*options); }; });
}

void add_simulate_command(CommandLine& line) {
  auto options = std::make_shared<PlanOptions>();
  auto* command = line.app.add_subcommand(
      "simulate", "step time and memory of a job on a cluster that need not exist");
  add_simulate_options(*command, options->job);
  add_json_option(*command, options->json);
  command->callback([&line, options] {
    line.action = [options] { return plan_job_file(options->job, options->json); };
  });
}

}  // namespace longhaul::daemon
