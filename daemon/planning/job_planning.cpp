// Workloads for each micro-batch size, codecs that the job's setting allows, and the planners.
#include "daemon/planning/job_planning.hpp"

#include "proto/compression_setting.hpp"
#include "proto/job.hpp"
#include "proto/pipeline_schedule.hpp"
#include "proto/text.hpp"
#include "scheduler/groups/grouped_plan.hpp"
#include "scheduler/planners/evaluation.hpp"
#include "scheduler/planners/placed_memory.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <ranges>
#include <set>
#include <string_view>
#include <utility>

namespace longhaul::daemon {
namespace {

using scheduler::CodecOption;
using scheduler::PlacedPipeline;
using scheduler::PlannerKind;
using Mode = proto::CompressionSetting::Mode;

constexpr std::string_view kDense = "dense";

// Where nobody measured: bits for each entry of normal numbers, one core of a cloud CPU of 2024.
struct NominalCodec {
  std::string_view rung;
  double bits;
  double encode_s;  // per entry
  double decode_s;
};
constexpr std::array<NominalCodec, 7> kNominalCodecs{
    {{"bf16", 16.0, 0.1e-9, 0.1e-9},
     {"int8/128", 8.25, 0.2e-9, 0.15e-9},
     {"topk50%-int8/128-packed", 4.5, 3e-9, 2e-9},
     {"topk25%-int8/128-packed", 2.5, 2e-9, 1.2e-9},
     {"topk15%-int6/64-packed", 1.35, 1.5e-9, 0.8e-9},
     {"topk10%-int4/64-packed", 0.77, 1.2e-9, 0.5e-9},
     {"topk6%-int4/64-packed", 0.5, 1e-9, 0.4e-9}}};

std::vector<CodecOption> measured_or_nominal(const FleetModel& fleet, double bytes_per_entry) {
  std::vector<CodecOption> codecs;
  const auto add = [&](std::string name, double bits, double encode_s, double decode_s) {
    codecs.push_back({.name = std::move(name),
                      .ratio = std::min(1.0, bits / (8.0 * bytes_per_entry)),
                      .encode_s_per_byte = encode_s / bytes_per_entry,
                      .decode_s_per_byte = decode_s / bytes_per_entry});
  };
  for (const NominalCodec& nominal : kNominalCodecs) {
    double bits = nominal.bits, encode_s = nominal.encode_s, decode_s = nominal.decode_s;
    // Of several profiles the slowest: a link has two ends.
    bool known = false;
    for (const auto& [kind, profile] : fleet.profiles) {
      const auto found =
          std::ranges::find(profile.codecs, nominal.rung, &scheduler::CodecProfile::rung);
      if (found == profile.codecs.end()) continue;
      bits = known ? std::max(bits, found->bits_per_entry) : found->bits_per_entry;
      encode_s = known ? std::max(encode_s, found->encode_s_per_entry) : found->encode_s_per_entry;
      decode_s = known ? std::max(decode_s, found->decode_s_per_entry) : found->decode_s_per_entry;
      known = true;
    }
    add(std::string(nominal.rung), bits, encode_s, decode_s);
  }
  for (const auto& [kind, profile] : fleet.profiles) {
    for (const scheduler::CodecProfile& codec : profile.codecs) {
      if (std::ranges::find(codecs, codec.rung, &CodecOption::name) != codecs.end()) continue;
      add(codec.rung, codec.bits_per_entry, codec.encode_s_per_entry, codec.decode_s_per_entry);
    }
  }
  std::ranges::stable_sort(codecs, std::greater<>(), &CodecOption::ratio);
  return codecs;
}

proto::Result<std::vector<CodecOption>> codecs_of(const wire::Job& job, const FleetModel& fleet,
                                                  proto::Precision precision) {
  const auto setting = proto::parse_compression(job.compression()).value();
  const auto bytes_per_entry = static_cast<double>(proto::activation_bytes(precision));
  const CodecOption dense{.name = std::string(kDense), .ratio = 1.0};
  switch (setting.mode) {
    case Mode::kDense:
      return std::vector{dense};
    case Mode::kUniformTopK:
    case Mode::kAdaTopK:
      // A value of 4 bytes and an index of 8 for each entry that is sent.
      return std::vector{
          CodecOption{.name = job.compression(),
                      .ratio = std::min(1.0, 12.0 / bytes_per_entry / setting.ratio)}};
    case Mode::kAdaptive:
    case Mode::kFixed:
      break;
  }
  auto codecs = measured_or_nominal(fleet, bytes_per_entry);
  if (setting.mode == Mode::kFixed) {
    std::erase_if(codecs, [&](const CodecOption& codec) { return codec.name != setting.rung; });
    if (codecs.empty()) {
      return proto::configuration_error(fmt::format(
          "nothing is known of what the rung {} takes: use one that a profile has, or {}",
          proto::quoted(setting.rung),
          fmt::join(kNominalCodecs | std::views::transform(&NominalCodec::rung), ", ")));
    }
    return codecs;
  }
  codecs.insert(codecs.begin(), dense);
  return codecs;
}

proto::Result<std::vector<std::uint32_t>> sizes_of(const wire::Job& job,
                                                   const PlanningOptions& options) {
  std::vector<std::uint32_t> sizes = options.micro_batches;
  if (sizes.empty()) sizes.push_back(job.training().micro_batch());
  std::ranges::sort(sizes);
  for (const std::uint32_t size : sizes) {
    if (size == 0 || job.training().batch() % size != 0) {
      return proto::configuration_error(fmt::format(
          "a micro-batch of {} does not divide training.batch, {}", size, job.training().batch()));
    }
  }
  return sizes;
}

std::vector<Rival> rivals_of(const PlanningCase& planning, const PlanningOptions& options,
                             double best_s) {
  std::vector<PlannerKind> kinds{PlannerKind::kEqualOperators, PlannerKind::kEqualCompute,
                                 PlannerKind::kOpFence, PlannerKind::kDtFm, PlannerKind::kAuto};
  if (options.any_parallelism) kinds.push_back(PlannerKind::kHybrid);
  std::vector<Rival> rivals;
  for (const PlannerKind kind : kinds) {
    if (kind == options.planner) continue;
    const std::string name(scheduler::planner_name(kind));
    const auto plan = scheduler::make_grouped_plan(planning.problem, kind, options.budget);
    if (!plan) {
      rivals.push_back({name, scheduler::kUnlimited, scheduler::kUnlimited, plan.error().message});
      continue;
    }
    const auto work = scheduler::work_of(plan->problem, plan->placed);
    const auto outcome = scheduler::simulate(work);
    const auto cost = scheduler::cost_of(plan->problem, plan->placed, outcome);
    const bool same = std::abs(cost.step_s / best_s - 1.0) < 1e-6;
    rivals.push_back(
        {name, cost.step_s, cost.score,
         same ? "as good" : bottleneck_of(plan->problem, plan->placed, work, outcome)});
  }
  std::ranges::stable_sort(rivals, {}, &Rival::score);
  return rivals;
}

// What each link starts with, where that is not dense.
void add_links(const scheduler::PlanningProblem& problem, const PlacedPipeline& placed,
               wire::Plan& plan) {
  const auto add = [&](std::size_t from, std::size_t to, std::size_t codec) {
    if (problem.codecs[codec].name == kDense) return;
    wire::LinkStart& link = *plan.add_links();
    link.set_from_stage(static_cast<std::uint32_t>(from));
    link.set_to_stage(static_cast<std::uint32_t>(to));
    link.set_rung(problem.codecs[codec].name);
  };
  for (std::size_t s = 0; s + 1 < placed.stages.size(); ++s) {
    add(s, s + 1, placed.codecs[s].forward);
    add(s + 1, s, placed.codecs[s].backward);
  }
}

wire::Strategy::Sharding wire_sharding(scheduler::Sharding sharding) {
  switch (sharding) {
    case scheduler::Sharding::kNothing:
      break;
    case scheduler::Sharding::kOptimizer:
      return wire::Strategy::OPTIMIZER;
    case scheduler::Sharding::kGradients:
      return wire::Strategy::GRADIENTS;
    case scheduler::Sharding::kParameters:
      return wire::Strategy::PARAMETERS;
  }
  return wire::Strategy::NONE;
}

void add_group(const scheduler::Fleet& fleet, const scheduler::StageGroup& group,
               wire::Stage& stage) {
  if (group.alone()) return;
  stage.set_threads(fleet.devices[group.devices.front()].threads);
  for (std::size_t i = 1; i < group.devices.size(); ++i) {
    const scheduler::FleetDevice& device = fleet.devices[group.devices[i]];
    wire::StageDevice& more = *stage.add_more_devices();
    more.set_node(device.node);
    more.set_device(device.device);
    more.set_threads(device.threads);
  }
  for (const scheduler::StrategyRun& run : group.runs) {
    wire::Strategy& strategy = *stage.add_strategies();
    strategy.set_operators(static_cast<std::uint32_t>(run.operators));
    strategy.set_data(run.strategy.data);
    strategy.set_tensor(run.strategy.tensor);
    strategy.set_sequence(run.strategy.sequence);
    strategy.set_sharding(wire_sharding(run.strategy.sharding));
    strategy.set_checkpoint(run.strategy.checkpoint);
  }
}

PlannedJob planned(const PlanningCase& planning, const scheduler::GroupedPlan& plan,
                   const std::string& planner) {
  const scheduler::Fleet& fleet = planning.problem.fleet;
  PlannedJob job;
  job.report = report_of(fleet, plan, planner);
  job.plan = scheduler::plan_of(plan.problem, plan.placed).to_wire(planning.graph);
  add_links(plan.problem, plan.placed, job.plan);
  job.plan.set_planner(planner);
  job.plan.set_predicted_step_s(job.report.cost.step_s);
  for (std::size_t s = 0; s < plan.stages.size(); ++s) {
    wire::Stage& stage = *job.plan.mutable_stages(static_cast<int>(s));
    stage.set_estimated_memory_bytes(job.report.stages[s].memory_bytes);
    add_group(fleet, plan.stages[s], stage);
  }
  return job;
}

double score_of(const scheduler::GroupedPlan& plan) {
  return scheduler::simulated_cost(plan.problem, plan.placed).score;
}

// auto, or where it may be anything the best of all planners.
proto::Result<scheduler::GroupedPlan> made_by(const PlanningCase& planning,
                                              const PlanningOptions& options,
                                              PlannerKind& planner) {
  auto best = scheduler::make_grouped_plan(planning.problem, planner, options.budget);
  if (planner != PlannerKind::kAuto || !options.any_parallelism) return best;
  for (const PlannerKind kind : {PlannerKind::kHybrid, PlannerKind::kDisaggregated}) {
    auto other = scheduler::make_grouped_plan(planning.problem, kind, options.budget);
    if (!other || (best && score_of(*best) <= score_of(*other))) continue;
    best = std::move(other);
    planner = kind;
  }
  return best;
}

const scheduler::FleetDevice* device_named(const scheduler::Fleet& fleet, const std::string& node,
                                           const std::string& device) {
  const auto found = std::ranges::find_if(fleet.devices, [&](const scheduler::FleetDevice& one) {
    return one.node == node && one.device == device;
  });
  return found == fleet.devices.end() ? nullptr : &*found;
}

// Its number in the fleet; the error names what is unknown, the node or its device.
proto::Result<std::size_t> device_number(const scheduler::Fleet& fleet, std::size_t stage,
                                         const std::string& node, const std::string& device) {
  if (const auto* found = device_named(fleet, node, device)) {
    return static_cast<std::size_t>(found - fleet.devices.data());
  }
  std::vector<std::string_view> nodes;
  for (const scheduler::FleetDevice& one : fleet.devices) nodes.push_back(one.node);
  if (std::ranges::find(nodes, node) == nodes.end()) {
    return proto::configuration_error(
        fmt::format("plan: stage {} is on node {}, which the fleet "
                    "does not have{}",
                    stage, proto::quoted(node), proto::did_you_mean(node, nodes)));
  }
  return proto::configuration_error(
      fmt::format("plan: stage {} is on device {}, which node {} does "
                  "not have",
                  stage, proto::quoted(device), proto::quoted(node)));
}

proto::Result<scheduler::StageGroup> group_of(const scheduler::Fleet& fleet, std::size_t index,
                                              const wire::Stage& stage) {
  scheduler::StageGroup group;
  const auto first = device_number(fleet, index, stage.node(), stage.device());
  if (!first) return first.error();
  group.devices.push_back(*first);
  for (const wire::StageDevice& device : stage.more_devices()) {
    const auto more = device_number(fleet, index, device.node(), device.device());
    if (!more) return more.error();
    group.devices.push_back(*more);
  }
  for (const wire::Strategy& from : stage.strategies()) {
    scheduler::GroupStrategy strategy{.data = std::max(1u, from.data()),
                                      .tensor = std::max(1u, from.tensor()),
                                      .sequence = std::max(1u, from.sequence()),
                                      .checkpoint = from.checkpoint()};
    for (const auto sharding : {scheduler::Sharding::kOptimizer, scheduler::Sharding::kGradients,
                                scheduler::Sharding::kParameters}) {
      if (wire_sharding(sharding) == from.sharding()) strategy.sharding = sharding;
    }
    group.runs.push_back({from.operators(), strategy});
  }
  return group;
}

// Pins and exclusions of the job's file, beside those of the command line.
void add_placement(const wire::Placement& placement, scheduler::PlanConstraints& constraints) {
  for (const wire::Pin& pin : placement.pins()) {
    constraints.pins.emplace(pin.operator_id(), pin.node());
  }
  constraints.excluded_nodes.insert(placement.exclude().begin(), placement.exclude().end());
  constraints.data_stays = constraints.data_stays || placement.data_stays();
}

}  // namespace

std::optional<PlannerKind> planner_named(std::string_view name) {
  for (const PlannerKind kind :
       {PlannerKind::kEqualOperators, PlannerKind::kEqualCompute, PlannerKind::kOpFence,
        PlannerKind::kDtFm, PlannerKind::kExhaustive, PlannerKind::kAuto}) {
    if (scheduler::planner_name(kind) == name) return kind;
  }
  return std::nullopt;
}

proto::Result<PlanningCase> planning_case(const wire::SubmitJob& submission,
                                          const FleetModel& fleet, const PlanningOptions& options) {
  auto graph = proto::Graph::from_wire(submission.graph());
  if (!graph) return graph.error();
  const wire::Job& job = submission.job();
  const auto precision = proto::precision_kind(job.training().precision()).value();
  const auto sizes = sizes_of(job, options);
  if (!sizes) return sizes.error();
  PlanningCase planning;
  planning.memory = {.precision = precision};
  planning.sequence = job.data().sequence_length();
  for (const std::uint32_t size : *sizes) {
    auto workload =
        workload_of(*graph, {.batch = size, .sequence = planning.sequence}, planning.memory, fleet);
    if (!workload) return workload.error();
    planning.problem.workloads.push_back(std::move(*workload));
  }
  planning.problem.stage_memory = scheduler::placed_memory(
      *graph, planning.problem, {.memory = planning.memory, .sequence = planning.sequence});
  planning.graph = std::move(*graph);
  planning.problem.fleet = fleet.fleet;
  planning.problem.batch = job.training().batch();
  const auto schedule = proto::schedule_kind(job.pipeline().schedule()).value();
  planning.problem.schedules = {options.given.value_or(schedule)};
  planning.problem.run_ahead = {options.given ? options.given_run_ahead
                                              : job.pipeline().run_ahead()};
  if (options.any_schedule) {
    planning.problem.schedules = {proto::ScheduleKind::kGpipe,
                                  proto::ScheduleKind::kOneForwardOneBackward,
                                  proto::ScheduleKind::kZeroBubble};
    planning.problem.run_ahead = {0, 1, 2, 4, 8};
  }
  auto codecs = codecs_of(job, fleet, precision);
  if (!codecs) return codecs.error();
  planning.problem.codecs = std::move(*codecs);
  planning.problem.objective = options.objective;
  planning.problem.deadline_s = options.deadline_s;
  planning.problem.constraints = options.constraints;
  add_placement(job.placement(), planning.problem.constraints);
  planning.problem.micro_batch_costs = options.micro_batch_costs;
  return planning;
}

proto::Result<PlannedJob> plan_with(const PlanningCase& planning, const PlanningOptions& options) {
  PlanningOptions used = options;
  const auto plan = made_by(planning, options, used.planner);
  if (!plan) return plan.error();
  PlannedJob job = planned(planning, *plan, std::string(scheduler::planner_name(used.planner)));
  if (options.compare) {
    job.report.rivals = rivals_of(planning, used, job.report.cost.step_s);
    job.report.what_ifs = what_ifs_of(planning.problem, *plan, used.planner, options.budget);
  }
  return job;
}

proto::Result<PlannedJob> simulate_plan(const PlanningCase& planning, const wire::Plan& message) {
  wire::Plan pipeline = message;
  std::vector<scheduler::StageGroup> groups;
  for (wire::Stage& stage : *pipeline.mutable_stages()) {
    auto group = group_of(planning.problem.fleet, groups.size(), stage);
    if (!group) return group.error();
    groups.push_back(std::move(*group));
    stage.clear_more_devices();
    stage.clear_strategies();
  }
  const auto plan = proto::Plan::from_wire(pipeline, planning.graph);
  if (!plan) return plan.error();
  PlacedPipeline placed;
  placed.schedule = plan->schedule;
  placed.run_ahead = plan->run_ahead;
  const auto workload = std::ranges::find(planning.problem.workloads, plan->micro_batch_size,
                                          &scheduler::Workload::micro_batch_size);
  if (workload == planning.problem.workloads.end()) {
    return proto::configuration_error(fmt::format(
        "the plan's micro-batches are of {}, and the job's are not", plan->micro_batch_size));
  }
  if (std::uint64_t{plan->micro_batches} * plan->micro_batch_size != planning.problem.batch) {
    return proto::configuration_error(fmt::format(
        "the plan's {} micro-batches of {} are no step of {} sequences, which the job has",
        plan->micro_batches, plan->micro_batch_size, planning.problem.batch));
  }
  placed.workload = static_cast<std::size_t>(workload - planning.problem.workloads.begin());
  std::size_t first = 0;
  for (std::size_t s = 0; s < plan->stages.size(); ++s) {
    const auto& operators = plan->stages[s].operators;
    if (operators.front().value != first ||
        operators.back().value + 1 - first != operators.size()) {
      return proto::configuration_error(
          "the plan's stages are no contiguous parts of the topological order");
    }
    placed.stages.push_back({.device = s, .first = first, .end = first + operators.size()});
    first += operators.size();
  }
  auto grouped = scheduler::given_groups(planning.problem, placed, groups);
  if (!grouped) return grouped.error();
  if (grouped->runs_today()) {  // on the fleet itself, for its constraints
    for (std::size_t s = 0; s < groups.size(); ++s) placed.stages[s].device = groups[s].devices[0];
    *grouped = scheduler::as_grouped(planning.problem, placed);
  }
  scheduler::choose_codecs(grouped->problem, grouped->placed);
  for (const scheduler::Violation& violation :
       scheduler::check_placement(grouped->problem, grouped->placed)) {
    return proto::Error{proto::ErrorKind::kResource, violation.message};
  }
  return planned(planning, *grouped,
                 message.planner().empty() ? "a plan given" : message.planner());
}

}  // namespace longhaul::daemon
