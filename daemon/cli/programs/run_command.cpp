// `longhaul run`: an ephemeral fleet on this machine.
#include "daemon/cli/programs/commands.hpp"
#include "daemon/cli/programs/exit_code.hpp"
#include "daemon/cli/programs/run_session.hpp"
#include "daemon/cli/programs/submission.hpp"
#include "daemon/cli/programs/wan_command_line.hpp"
#include "daemon/cli/programs/worker_program.hpp"
#include "daemon/coordinator/planning.hpp"
#include "daemon/host/machine.hpp"
#include "daemon/node/devices.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <optional>
#include <vector>

#include <unistd.h>

namespace longhaul::daemon {

namespace {

constexpr std::uint32_t kMaxNodes = 256;

struct RunOptions {
  SubmissionOptions submission{
      .job = {}, .nodes = 1, .resume = {}, .export_to = {}, .plan = {}, .planner = {}};
  std::uint32_t threads = 0;       // of each node; 0: its share
  std::vector<double> cpu_shares;  // of the nodes in turn
  std::filesystem::path summary;
  std::filesystem::path log;
  WanOptions wan;  // without a network file: none
  bool json = false;
};

// Shares are for nodes that compute on the cpu, and for each of them there is one.
proto::Result<void> check_shares(const RunOptions& options, bool has_cuda) {
  for (const double share : options.cpu_shares) {
    if (share > 0.0 && share <= 1.0) continue;
    return proto::configuration_error(
        fmt::format("--cpu-shares: {} is no share: give numbers above 0 and at most 1", share));
  }
  if (options.cpu_shares.size() > options.submission.nodes) {
    return proto::configuration_error(
        fmt::format("--cpu-shares: {} shares for {} node{}", options.cpu_shares.size(),
                    options.submission.nodes, options.submission.nodes == 1 ? "" : "s"));
  }
  if (has_cuda && !options.cpu_shares.empty()) {
    return proto::configuration_error(
        "--cpu-shares is for nodes that compute on the cpu; these have CUDA devices");
  }
  return {};
}

// The coordinator's own refusals, before anything is started.
proto::Result<void> check_plan(const wire::SubmitJob& submission,
                               const LocalFleet::Options& fleet) {
  PlanningRequest request{.submission = submission,
                          .job_id = {},
                          .epoch = 1,
                          .free_nodes = LocalFleet::nodes(fleet),
                          .not_free = {},
                          .known_nodes = {},
                          .knowledge = {}};
  for (const auto& node : request.free_nodes) request.known_nodes.push_back(node.name());
  const auto planned = plan_job(request);
  if (!planned) return planned.error();
  return {};
}

int run(const RunOptions& options, const std::filesystem::path& given_worker) {
  const auto worker = find_worker(given_worker);
  if (!worker) return fail(kLonghaul, worker.error());
  const bool has_wan = !options.wan.network.empty();
  if (has_wan) {
    if (const auto plan = plan_wan(options.wan); !plan) {
      std::cerr << plan.error().message << '\n';
      return kUsage;
    }
  }
  auto submission = load_submission(options.submission);
  if (!submission) return kUsage;
  const auto answer = run_worker(*worker, {"probe", "--quick"}, {});
  if (!answer) return fail(kLonghaul, answer.error());
  auto cuda = parse_probe(*answer);
  if (!cuda) return fail(kLonghaul, cuda.error());
  if (auto good = check_shares(options, !cuda->empty()); !good) {
    return fail(kLonghaul, good.error());
  }

  const std::uint32_t nodes = options.submission.nodes;
  const std::uint32_t share = std::max(1u, available_threads() / nodes);
  const LocalFleet::Options fleet{.nodes = nodes,
                                  .threads = options.threads == 0 ? share : options.threads,
                                  .memory_bytes = available_memory_bytes() / nodes,
                                  .cpu_shares = options.cpu_shares,
                                  .cuda = std::move(*cuda),
                                  .worker = *worker,
                                  .wan = has_wan ? std::optional(options.wan) : std::nullopt};
  // What another planner comes to is not known before the nodes have measured.
  if (!wants_profiles(options.submission)) {
    if (auto checked = check_plan(*submission, fleet); !checked) {
      return fail(kLonghaul, checked.error());
    }
  }
  RunSession session({.submission = std::move(*submission),
                      .fleet = fleet,
                      .summary = options.summary,
                      .log = options.log,
                      .style = choose_progress_style(options.json, STDOUT_FILENO)});
  return session.run();
}

}  // namespace

void add_run_command(CommandLine& line) {
  auto options = std::make_shared<RunOptions>();
  auto* command = line.app.add_subcommand(
      "run", "train a job on nodes of this machine, which are started for it and stopped after it");
  add_submission_options(*command, options->submission);
  add_planner_option(*command, options->submission, std::string(kEqualCompute));
  auto* nodes = command->add_option("--nodes", options->submission.nodes,
                                    "nodes to train on [1; with --wan one at each site]");
  nodes->check(CLI::Range(1u, kMaxNodes));
  command->add_option("--threads", options->threads, "threads of each node [the processors' share]")
      ->check(CLI::Range(1u, 4096u));
  command
      ->add_option("--cpu-shares", options->cpu_shares,
                   "the share of its threads' time that each node gets, in turn, above 0 and at "
                   "most 1 [1]")
      ->delimiter(',')
      ->type_name("X,Y,...");
  command->add_option("--summary", options->summary, "write what it came to, as JSON")
      ->type_name("FILE");
  command->add_option("--log", options->log, "append what the fleet's processes log")
      ->type_name("FILE");
  auto* wan = command->add_option("--wan", options->wan.network,
                                  "train across an emulated wide-area network with these paths; "
                                  "the nodes are dealt to the sites in turn");
  wan->type_name("FILE")->needs(add_wan_options(*command, options->wan)->needs(wan));
  add_json_option(*command, options->json);
  command->callback([&line, options, nodes] {
    if (nodes->count() == 0 && !options->wan.sites.empty()) {
      options->submission.nodes = static_cast<std::uint32_t>(options->wan.sites.size());
    }
    line.action = [&line, options] { return run(*options, line.worker); };
  });
}

}  // namespace longhaul::daemon
