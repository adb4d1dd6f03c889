// Validation, choice of nodes and devices, and the planner's answer as an Assignment.
#include "daemon/coordinator/planning.hpp"

#include "daemon/planning/job_planning.hpp"
#include "proto/failure.hpp"
#include "proto/graph.hpp"
#include "proto/job.hpp"
#include "proto/pipeline_schedule.hpp"
#include "proto/text.hpp"
#include "scheduler/equal_compute.hpp"
#include "scheduler/memory_estimate.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <ranges>
#include <utility>

namespace longhaul::daemon {

namespace {

using proto::Result;

constexpr std::size_t kMostNamed = 16;

// `where` names the node.
Result<void> check_known(const PlanningRequest& request, const std::string& where,
                         const std::string& name) {
  if (std::ranges::find(request.known_nodes, name) != request.known_nodes.end()) return {};
  const std::vector<std::string_view> known(request.known_nodes.begin(), request.known_nodes.end());
  std::string all = fmt::format("{}", fmt::join(known | std::views::take(kMostNamed), ", "));
  if (known.size() > kMostNamed) all += fmt::format(" and {} more", known.size() - kMostNamed);
  return proto::configuration_error(fmt::format("{}: there is no node {}; known: {}{}", where,
                                                proto::quoted(name), all.empty() ? "none" : all,
                                                proto::did_you_mean(name, known)));
}

Result<void> check_data_nodes(const PlanningRequest& request) {
  for (const auto& name : request.submission.job().data().nodes()) {
    if (auto known = check_known(request, "data.nodes", name); !known) return known;
  }
  return {};
}

bool has_data(const wire::Job& job, const std::string& node) {
  const auto& nodes = job.data().nodes();
  return nodes.empty() || std::ranges::find(nodes, node) != nodes.end();
}

Result<std::vector<wire::NodeInfo>> choose_nodes(const PlanningRequest& request) {
  const std::size_t wanted = request.submission.nodes();
  const std::size_t free = request.free_nodes.size();
  if (free == 0 || wanted > free) {
    auto message = wanted == 0
                       ? std::string("no node is free")
                       : fmt::format("the job asks for {} node{}, {} {} free", wanted,
                                     wanted == 1 ? "" : "s", free, free == 1 ? "is" : "are");
    if (!request.not_free.empty()) {
      message += fmt::format(" ({})", fmt::join(request.not_free, ", "));
    }
    return proto::Error{proto::ErrorKind::kResource,
                        message + ": wait, ask for fewer, or start a longhaul-compnode"};
  }
  auto nodes = request.free_nodes;
  if (wanted != 0 && wanted < nodes.size()) {
    const auto& job = request.submission.job();
    std::ranges::stable_partition(nodes,
                                  [&](const auto& node) { return has_data(job, node.name()); });
    nodes.resize(wanted);
  }
  return nodes;
}

scheduler::Candidate candidate(const wire::Job& job, const wire::NodeInfo& node) {
  const auto& device = computing_device(node);
  return {.node = node.name(),
          .device = device.name(),
          .threads = std::max(1u, device.threads()),
          .memory_bytes = device.memory_bytes(),
          .has_data = has_data(job, node.name())};
}

scheduler::MemoryOptions memory_options(const wire::Job& job) {
  return {.precision = proto::precision_kind(job.training().precision()).value()};
}

// A plan that was made before, on nodes that are free, in the job's micro-batches.
Result<proto::Plan> given_plan(const PlanningRequest& request, const wire::Plan& given,
                               const proto::Graph& graph) {
  auto plan = proto::Plan::from_wire(given, graph);
  if (!plan) return plan.error();
  plan->epoch = proto::PlanEpoch{request.epoch};
  const auto& training = request.submission.job().training();
  const std::uint64_t sequences = std::uint64_t{plan->micro_batches} * plan->micro_batch_size;
  if (sequences != training.batch()) {
    return proto::configuration_error(
        fmt::format("plan: {} micro-batches of {} make {} sequences a step; training.batch is {}",
                    plan->micro_batches, plan->micro_batch_size, sequences, training.batch()));
  }
  for (std::size_t s = 0; s < plan->stages.size(); ++s) {
    proto::Stage& stage = plan->stages[s];
    const auto node = std::ranges::find(request.free_nodes, stage.node, &wire::NodeInfo::name);
    if (node == request.free_nodes.end()) {
      if (auto known = check_known(request, fmt::format("plan: stage {}", s), stage.node); !known) {
        return known.error();
      }
      return proto::Error{proto::ErrorKind::kResource,
                          fmt::format("plan: stage {} is on node {}, which is not free; plan anew, "
                                      "or wait",
                                      s, proto::quoted(stage.node))};
    }
    const auto device = std::ranges::find(node->devices(), stage.device, &wire::Device::name);
    if (device == node->devices().end()) {
      return proto::configuration_error(fmt::format("plan: node {} has no device {}",
                                                    proto::quoted(stage.node),
                                                    proto::quoted(stage.device)));
    }
    stage.has_data = has_data(request.submission.job(), stage.node);
    const auto same = std::ranges::count(plan->stages, stage.node, &proto::Stage::node);
    if (same > 1) {
      return proto::configuration_error(fmt::format(
          "plan: node {} has {} stages; a node hosts one so far", proto::quoted(stage.node), same));
    }
  }
  return plan;
}

// By equal compute, which takes nodes as they come.
Result<proto::Plan> chosen_plan(const PlanningRequest& request, const proto::Graph& graph) {
  const auto& job = request.submission.job();
  const wire::Placement& placement = job.placement();
  if (placement.pins_size() > 0 || placement.exclude_size() > 0 || placement.data_stays()) {
    return proto::configuration_error(
        "placement: equal-compute keeps to none; name a planner that does, as --planner auto");
  }
  const auto nodes = choose_nodes(request);
  if (!nodes) return nodes.error();
  const auto& training = job.training();
  std::vector<scheduler::Candidate> candidates;
  for (const auto& node : *nodes) candidates.push_back(candidate(job, node));
  // validate_job has passed these names.
  const auto schedule = proto::schedule_kind(job.pipeline().schedule());
  return scheduler::equal_compute(
      graph, candidates,
      {.binding = {.batch = training.micro_batch(), .sequence = job.data().sequence_length()},
       .schedule = schedule.value(),
       .run_ahead = job.pipeline().run_ahead(),
       .micro_batches = training.batch() / training.micro_batch(),
       .memory = memory_options(job),
       .epoch = proto::PlanEpoch{request.epoch}});
}

// By a planner that searches; its notes say what it assumed.
Result<wire::Plan> searched_plan(const PlanningRequest& request, scheduler::PlannerKind planner) {
  const auto& job = request.submission.job();
  // As many as asked for are free, or it says so.
  if (const auto nodes = choose_nodes(request); !nodes) return nodes.error();
  auto fleet = registered_fleet(request.free_nodes, request.knowledge,
                                [&](const auto& node) { return has_data(job, node); });
  if (!fleet) return fleet.error();
  PlanningOptions options;
  options.planner = planner;
  options.constraints.devices = request.submission.nodes();
  options.budget.seconds = request.search_s;
  const auto problem = planning_case(request.submission, fleet->model, options);
  if (!problem) return problem.error();
  auto planned = plan_with(*problem, options);
  if (!planned) return planned.error();
  for (auto& line : fleet->assumptions) planned->plan.add_notes(std::move(line));
  return std::move(planned->plan);
}

// For people: what the planner expects each stage to need.
void add_estimates(const wire::Job& job, const proto::Graph& graph, const proto::Plan& plan,
                   wire::Plan& into) {
  const auto shapes = proto::infer_shapes(
      graph, {.batch = plan.micro_batch_size, .sequence = job.data().sequence_length()});
  for (std::uint32_t i = 0; i < plan.stages.size(); ++i) {
    const auto estimate = scheduler::estimate_memory(graph, plan, proto::StageIndex{i},
                                                     shapes.value(), memory_options(job));
    into.mutable_stages(static_cast<int>(i))->set_estimated_memory_bytes(estimate.total());
  }
}

}  // namespace

Result<void> check_submission(const wire::SubmitJob& submission) {
  if (auto valid = proto::validate_job(submission.job()); !valid) return valid.error();
  if (auto graph = proto::Graph::from_wire(submission.graph()); !graph) return graph.error();
  for (const auto& graph : submission.profile_graphs()) {
    if (auto good = proto::Graph::from_wire(graph); !good) return good.error();
  }
  if (!submission.planner().empty() && !planner_named(submission.planner())) {
    return proto::configuration_error(
        fmt::format("there is no planner {}", proto::quoted(submission.planner())));
  }
  return {};
}

Result<wire::Assignment> plan_job(const PlanningRequest& request) {
  const auto& submission = request.submission;
  if (auto good = check_submission(submission); !good) return good.error();
  const auto graph = proto::Graph::from_wire(submission.graph());
  if (!graph) return graph.error();
  if (auto known = check_data_nodes(request); !known) return known.error();
  const auto planner = planner_named(submission.planner());

  wire::Plan told;  // planner, prediction, notes
  std::optional<Result<proto::Plan>> plan;
  if (submission.has_plan()) {
    told.set_planner("given");
    told.set_predicted_step_s(submission.plan().predicted_step_s());
    plan = given_plan(request, submission.plan(), *graph);
  } else if (planner && *planner != scheduler::PlannerKind::kEqualCompute) {
    auto searched = searched_plan(request, *planner);
    if (searched) {
      told = *searched;
      plan = given_plan(request, *searched, *graph);
    } else if (searched.error().kind == proto::ErrorKind::kResource) {
      return searched.error();
    } else {
      told.add_notes(
          fmt::format("planned by equal-compute: {}", proto::one_line(searched.error().message)));
    }
  }
  if (!plan) {
    told.set_planner(std::string(kEqualCompute));
    plan = chosen_plan(request, *graph);
  }
  if (!*plan) return plan->error();

  wire::Assignment assignment;
  assignment.set_job_id(request.job_id);
  *assignment.mutable_job() = submission.job();
  *assignment.mutable_graph() = submission.graph();
  wire::Plan& made = *assignment.mutable_plan() = (*plan)->to_wire(*graph);
  made.set_planner(told.planner());
  made.set_predicted_step_s(told.predicted_step_s());
  *made.mutable_notes() = told.notes();
  add_estimates(submission.job(), *graph, **plan, made);
  return assignment;
}

}  // namespace longhaul::daemon
