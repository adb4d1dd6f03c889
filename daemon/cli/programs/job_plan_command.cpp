// Reads the files, plans or simulates, prints and writes.
#include "daemon/cli/programs/job_plan_command.hpp"

#include "daemon/cli/programs/commands.hpp"
#include "daemon/cli/programs/exit_code.hpp"
#include "daemon/cli/programs/submission.hpp"
#include "daemon/planning/fleet_trace.hpp"
#include "daemon/planning/job_planning.hpp"
#include "daemon/planning/plan_page.hpp"
#include "daemon/planning/plan_text.hpp"
#include "proto/pipeline_schedule.hpp"
#include "proto/plan.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <iostream>
#include <utility>

namespace longhaul::daemon {

namespace {

using scheduler::Objective;
using scheduler::PlannerKind;

constexpr std::array kPlanners{PlannerKind::kEqualOperators, PlannerKind::kEqualCompute,
                               PlannerKind::kOpFence,        PlannerKind::kDtFm,
                               PlannerKind::kExhaustive,     PlannerKind::kHybrid,
                               PlannerKind::kDisaggregated,  PlannerKind::kAuto};
constexpr std::array<std::pair<std::string_view, Objective>, 3> kObjectives{
    {{"step-time", Objective::kStepTime},
     {"cost", Objective::kCostPerToken},
     {"cost-under-deadline", Objective::kCostUnderDeadline}}};

proto::Result<PlanningOptions> planning_options(const JobPlanOptions& options) {
  PlanningOptions planning;
  for (const PlannerKind kind : kPlanners) {
    if (options.planner == scheduler::planner_name(kind)) planning.planner = kind;
  }
  for (const auto& [name, objective] : kObjectives) {
    if (options.objective == name) planning.objective = objective;
  }
  if (options.deadline_s > 0.0) planning.deadline_s = options.deadline_s;
  if (options.deadline_s > 0.0 && planning.objective != Objective::kCostUnderDeadline) {
    return proto::configuration_error("--deadline needs --objective cost-under-deadline");
  }
  if (planning.objective == Objective::kCostUnderDeadline && options.deadline_s <= 0.0) {
    return proto::configuration_error("--objective cost-under-deadline needs --deadline SECONDS");
  }
  planning.budget.seconds = options.seconds;
  planning.micro_batches = options.micro_batches;
  planning.any_schedule = options.any_schedule;
  planning.any_parallelism = options.any_parallelism;
  planning.micro_batch_costs = options.micro_batch_costs;
  planning.compare = options.plan.empty();
  planning.constraints.devices = options.devices;
  planning.constraints.data_stays = options.data_stays;
  planning.constraints.excluded_nodes = {options.exclude.begin(), options.exclude.end()};
  for (const std::string& pin : options.pins) {
    const std::size_t equals = pin.find('=');
    if (equals == std::string::npos) {
      return proto::configuration_error(
          fmt::format("--pin must be OPERATOR=NODE, not {}", proto::quoted(pin)));
    }
    const auto [known, fresh] =
        planning.constraints.pins.emplace(pin.substr(0, equals), pin.substr(equals + 1));
    if (!fresh && known->second != pin.substr(equals + 1)) {
      return proto::configuration_error(
          fmt::format("operator {} is pinned to {} and to {}", proto::quoted(known->first),
                      proto::quoted(known->second), proto::quoted(pin.substr(equals + 1))));
    }
  }
  return planning;
}

// Empty after it printed what is wrong.
std::optional<FleetModel> load_fleet(const JobPlanOptions& options, int& code) {
  auto configuration = load_fleet_configuration(options.fleet);
  if (!configuration) {
    std::cerr << to_string(configuration.error()) << '\n';
    code = kUsage;
    return std::nullopt;
  }
  if (!options.profile.empty()) {
    for (KindConfiguration& kind : configuration->kinds) kind.profile = options.profile;
  }
  auto fleet = model_of(*configuration);
  if (!fleet) {
    code = fail(kLonghaul, fleet.error());
    return std::nullopt;
  }
  if (!options.trace.empty()) {
    const auto trace = load_trace(options.trace);
    if (!trace) {
      std::cerr << to_string(trace.error()) << '\n';
      code = kUsage;
      return std::nullopt;
    }
    if (const auto played = play_trace(*trace, *fleet); !played) {
      code = fail(kLonghaul, proto::with_context(options.trace.string(), played.error()));
      return std::nullopt;
    }
  }
  return std::move(*fleet);
}

// A plan that is given has chosen sizes and schedule.
void take_choices(const wire::Plan& plan, PlanningOptions& options) {
  options.micro_batches = {plan.micro_batch_size()};
  options.given = proto::schedule_kind(plan.schedule());
  options.given_run_ahead = plan.run_ahead();
}

int write(const std::filesystem::path& file, const std::string& text) {
  std::ofstream out(file);
  out << text;
  if (out.flush()) return kDone;
  return fail(kLonghaul,
              {proto::ErrorKind::kResource, fmt::format("{}: cannot be written", file.string())});
}

int print(const PlannedJob& planned, const JobPlanOptions& options, bool json) {
  std::cout << (json ? plan_json(planned.report) + '\n' : plan_text(planned.report));
  if (!options.html.empty()) {
    if (const int code = write(options.html, plan_page(planned.report)); code != kDone) return code;
  }
  if (!options.out.empty()) return write(options.out, proto::plan_json(planned.plan));
  return kDone;
}

void add_shared_options(CLI::App& command, JobPlanOptions& options) {
  command.add_option("--micro-batch", options.micro_batches, "sizes to choose among [the job's]")
      ->delimiter(',')
      ->type_name("N,...");
  command.add_option("--html", options.html, "write a page with the timeline of one step")
      ->type_name("FILE");
  std::vector<std::string> planners;
  for (const PlannerKind kind : kPlanners) planners.emplace_back(scheduler::planner_name(kind));
  command.add_option("--planner", options.planner, "who plans")
      ->capture_default_str()
      ->check(CLI::IsMember(planners));
}

}  // namespace

void add_job_plan_options(CLI::App& command, JobPlanOptions& options) {
  auto* job = command.add_option("job", options.job, "the job to plan")->type_name("JOB.yaml");
  auto* fleet = command.add_option("--fleet", options.fleet, "what there is to run on")
                    ->type_name("FILE.yaml");
  job->needs(fleet);
  add_shared_options(command, options);
  std::vector<std::string> objectives;
  for (const auto& [name, objective] : kObjectives) objectives.emplace_back(name);
  command.add_option("--objective", options.objective, "what to minimise")
      ->capture_default_str()
      ->check(CLI::IsMember(objectives));
  command.add_option("--deadline", options.deadline_s, "seconds that a step may take at most")
      ->check(CLI::Range(1e-6, 1e9))
      ->type_name("SECONDS");
  command.add_option("--seconds", options.seconds, "that auto may search")->capture_default_str();
  command.add_option("--use", options.devices, "devices to use exactly; 0: as many as serve")
      ->capture_default_str();
  command.add_flag("--any-schedule", options.any_schedule, "choose schedule and run_ahead, too");
  command.add_flag("--any-parallelism", options.any_parallelism,
                   "let auto return plans with several devices per stage, which nothing runs yet");
  command.add_flag("--data-stays", options.data_stays, "what reads data stays where it is");
  command.add_option("--exclude", options.exclude, "nodes not to use")->delimiter(',');
  command.add_option("--pin", options.pins, "operators and the node that must have them")
      ->delimiter(',')
      ->type_name("OPERATOR=NODE");
  command.add_option("--out", options.out, "write the plan, for `longhaul run --plan`")
      ->type_name("FILE.json");
}

void add_simulate_options(CLI::App& command, JobPlanOptions& options) {
  command.add_option("job", options.job, "the job")->required()->type_name("JOB.yaml");
  command.add_option("--cluster", options.fleet, "a fleet's file")
      ->required()
      ->type_name("FILE.yaml");
  command
      .add_option("--model-profile", options.profile,
                  "times of the model's operators, for every kind of the cluster")
      ->type_name("FILE.json");
  command.add_option("--plan", options.plan, "this plan [planned]")->type_name("FILE.json");
  command
      .add_option("--trace", options.trace,
                  "rates between sites that change during the step, as `longhaul run --trace`")
      ->type_name("FILE.yaml");
  command
      .add_option("--micro-batch-costs", options.micro_batch_costs,
                  "of each micro-batch of a step, a factor on its computation [1]")
      ->delimiter(',')
      ->type_name("X,...");
  add_shared_options(command, options);
}

int plan_job_file(const JobPlanOptions& options, bool json) {
  auto planning = planning_options(options);
  if (!planning) return fail(kLonghaul, planning.error());
  SubmissionOptions files;
  files.job = options.job;
  files.plan = options.plan;
  files.any_parallelism = true;
  const auto submission = load_submission(files);
  if (!submission) return kUsage;
  int code = kDone;
  const auto fleet = load_fleet(options, code);
  if (!fleet) return code;
  if (submission->has_plan()) take_choices(submission->plan(), *planning);
  for (const std::string& node : options.exclude) {
    const auto& devices = fleet->fleet.devices;
    if (std::ranges::find(devices, node, &scheduler::FleetDevice::node) != devices.end()) continue;
    return fail(kLonghaul, proto::configuration_error(fmt::format(
                               "--exclude: the fleet has no node {}", proto::quoted(node))));
  }
  const auto problem = planning_case(*submission, *fleet, *planning);
  if (!problem) return fail(kLonghaul, problem.error());
  const auto planned = submission->has_plan() ? simulate_plan(*problem, submission->plan())
                                              : plan_with(*problem, *planning);
  if (!planned) return fail(kLonghaul, planned.error());
  return print(*planned, options, json);
}

}  // namespace longhaul::daemon
