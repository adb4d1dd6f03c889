// `longhaul job`: submit, look at, steer.
#include "daemon/cli/programs/commands.hpp"
#include "daemon/cli/programs/coordinator_client.hpp"
#include "daemon/cli/programs/exit_code.hpp"
#include "daemon/cli/programs/job_orders.hpp"
#include "daemon/cli/programs/submission.hpp"
#include "daemon/cli/programs/watch.hpp"
#include "daemon/cli/tables.hpp"
#include "daemon/cli/why.hpp"
#include "daemon/host/clock.hpp"

#include <iostream>
#include <memory>
#include <string>

namespace longhaul::daemon {

namespace {

struct JobOptions {
  SubmissionOptions submission;
  std::string id;
  std::filesystem::path directory;
  std::filesystem::path summary;
  bool watch = false;
  bool json = false;
};

TableOptions table(bool json) {
  return {.format = json ? TableFormat::kJson : TableFormat::kText,
          .now_unix_ms = SystemClock().unix_ms()};
}

int watch(const CommandLine& line, const JobOptions& options, const std::string& id) {
  const auto client = load_client(line.config);
  if (!client) return fail(kLonghaul, client.error());
  return watch_job(*client, {.job_id = id, .summary = options.summary, .json = options.json});
}

int submit(const CommandLine& line, const JobOptions& options) {
  auto submission = load_submission(options.submission);
  if (!submission) return kUsage;
  std::string id;
  const int code =
      submit_job(line, std::move(*submission),
                 {.json = options.json, .measures = wants_profiles(options.submission)}, id);
  if (code != kDone) return code;
  return options.watch ? watch(line, options, id) : kDone;
}

int list(const CommandLine& line, const JobOptions& options) {
  wire::Envelope message;
  message.mutable_list_jobs();
  const auto answer = ask_coordinator(line.config, std::move(message));
  if (!answer) return fail(kLonghaul, answer.error());
  std::cout << render_jobs(answer->job_list(), table(options.json));
  return kDone;
}

using Render = std::string (*)(const wire::JobStatus&, const TableOptions&);

int print_status(const CommandLine& line, const JobOptions& options, Render render) {
  wire::Envelope message;
  message.mutable_show_job()->set_job_id(options.id);
  const auto answer = ask_coordinator(line.config, std::move(message));
  if (!answer) return fail(kLonghaul, answer.error());
  std::cout << render(answer->job_status(), table(options.json));
  return kDone;
}

int show(const CommandLine& line, const JobOptions& options) {
  return print_status(line, options, render_job);
}

int why(const CommandLine& line, const JobOptions& options) {
  return print_status(line, options, render_why);
}

int cancel(const CommandLine& line, const JobOptions& options) {
  return cancel_job(line, options.id, {.json = options.json});
}

int export_model(const CommandLine& line, const JobOptions& options) {
  return export_job(line, options.id, std::filesystem::absolute(options.directory),
                    {.json = options.json});
}

using Action = int (*)(const CommandLine&, const JobOptions&);

CLI::App* add(CLI::App& parent, CommandLine& line, const std::shared_ptr<JobOptions>& options,
              const char* name, const char* description, Action action) {
  auto* command = parent.add_subcommand(name, description);
  add_json_option(*command, options->json);
  command->callback([&line, options, action] {
    line.action = [&line, options, action] { return action(line, *options); };
  });
  return command;
}

}  // namespace

void add_job_commands(CommandLine& line) {
  auto* job = line.app.add_subcommand("job", "jobs on a fleet");
  job->require_subcommand(1);
  auto options = std::make_shared<JobOptions>();

  auto* command = add(*job, line, options, "submit", "train a job on free nodes", submit);
  add_submission_options(*command, options->submission);
  add_planner_option(*command, options->submission, "auto");
  command
      ->add_option("--nodes", options->submission.nodes,
                   "nodes to train on [as many of the free ones as serve; equal-compute: all]")
      ->check(CLI::Range(1u, 65536u));
  command->add_flag("--watch", options->watch, "stay and show its progress");
  command->add_option("--summary", options->summary, "with --watch: write what it came to, as JSON")
      ->type_name("FILE");

  add(*job, line, options, "list", "all jobs, the oldest first", list);
  const auto with_id = [&](const char* name, const char* description, Action action) {
    auto* added = add(*job, line, options, name, description, action);
    added->add_option("job", options->id, "the job's id, as job-7")->required()->type_name("ID");
    return added;
  };
  with_id("show", "one job: state, plan, stages and links", show);
  add(line.app, line, options, "why",
      "where a job's time goes, and why its links carry what they do", why)
      ->add_option("job", options->id, "the job's id, as job-7")
      ->required()
      ->type_name("ID");
  command = with_id("watch", "a job's progress from its first step to its end",
                    [](const CommandLine& l, const JobOptions& o) { return watch(l, o, o.id); });
  command->add_option("--summary", options->summary, "write what it came to, as JSON")
      ->type_name("FILE");
  with_id("cancel", "stop a job; returns when its nodes are free", cancel);
  command =
      with_id("export", "have a job that trains write its model as it is now, and wait for that",
              export_model);
  command->add_option("directory", options->directory, "a Hugging Face folder, on stage 0's node")
      ->required()
      ->type_name("DIR");
}

}  // namespace longhaul::daemon
