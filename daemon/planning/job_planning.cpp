// Workloads for each micro-batch size, codecs that the job's setting allows, and the planners.
#include "daemon/planning/job_planning.hpp"

#include "proto/compression_setting.hpp"
#include "proto/job.hpp"
#include "proto/pipeline_schedule.hpp"
#include "proto/text.hpp"

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
  std::vector<Rival> rivals;
  for (const PlannerKind kind : {PlannerKind::kEqualOperators, PlannerKind::kEqualCompute,
                                 PlannerKind::kOpFence, PlannerKind::kDtFm, PlannerKind::kAuto}) {
    if (kind == options.planner) continue;
    const std::string name(scheduler::planner_name(kind));
    const auto placed = scheduler::make_plan(planning.problem, kind, options.budget);
    if (!placed) {
      rivals.push_back(
          {name, scheduler::kUnlimited, scheduler::kUnlimited, placed.error().message});
      continue;
    }
    const auto work = scheduler::work_of(planning.problem, *placed);
    const auto outcome = scheduler::simulate(work);
    const auto cost = scheduler::cost_of(planning.problem, *placed, outcome);
    const bool same = std::abs(cost.step_s / best_s - 1.0) < 1e-6;
    rivals.push_back({name, cost.step_s, cost.score,
                      same ? "as good" : bottleneck_of(planning.problem, *placed, work, outcome)});
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

PlannedJob planned(const PlanningCase& planning, const PlacedPipeline& placed,
                   const std::string& planner) {
  const ReportInput input{.problem = planning.problem,
                          .graph = planning.graph,
                          .memory = planning.memory,
                          .sequence = planning.sequence};
  PlannedJob job;
  job.report = report_of(input, placed, planner);
  job.plan = plan_of(input, placed, {}).to_wire(planning.graph);
  add_links(planning.problem, placed, job.plan);
  job.plan.set_planner(planner);
  job.plan.set_predicted_step_s(job.report.cost.step_s);
  for (std::size_t s = 0; s < placed.stages.size(); ++s) {
    job.plan.mutable_stages(static_cast<int>(s))
        ->set_estimated_memory_bytes(job.report.stages[s].memory_bytes);
  }
  return job;
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
  planning.memory = {.precision = precision, .checkpoints = job.checkpoint().every() > 0};
  planning.sequence = job.data().sequence_length();
  for (const std::uint32_t size : *sizes) {
    auto workload =
        workload_of(*graph, {.batch = size, .sequence = planning.sequence}, planning.memory, fleet);
    if (!workload) return workload.error();
    planning.problem.workloads.push_back(std::move(*workload));
  }
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
  return planning;
}

proto::Result<PlannedJob> plan_with(const PlanningCase& planning, const PlanningOptions& options) {
  const auto placed = scheduler::make_plan(planning.problem, options.planner, options.budget);
  if (!placed) return placed.error();
  PlannedJob job =
      planned(planning, *placed, std::string(scheduler::planner_name(options.planner)));
  if (options.compare) {
    job.report.rivals = rivals_of(planning, options, job.report.cost.step_s);
    job.report.what_ifs = what_ifs_of(planning.problem, *placed, options.planner, options.budget);
  }
  return job;
}

proto::Result<PlannedJob> simulate_plan(const PlanningCase& planning, const wire::Plan& message) {
  const auto plan = proto::Plan::from_wire(message, planning.graph);
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
  for (const proto::Stage& stage : plan->stages) {
    const auto device = std::ranges::find_if(
        planning.problem.fleet.devices, [&](const scheduler::FleetDevice& one) {
          return one.node == stage.node && one.device == stage.device;
        });
    if (device == planning.problem.fleet.devices.end()) {
      return proto::configuration_error(fmt::format("the fleet has no device {} on a node {}",
                                                    proto::quoted(stage.device),
                                                    proto::quoted(stage.node)));
    }
    if (stage.operators.front().value != first ||
        stage.operators.back().value + 1 - first != stage.operators.size()) {
      return proto::configuration_error(
          "the plan's stages are no contiguous parts of the topological order");
    }
    const std::size_t end = first + stage.operators.size();
    placed.stages.push_back(
        {.device = static_cast<std::size_t>(device - planning.problem.fleet.devices.begin()),
         .first = first,
         .end = end});
    first = end;
  }
  scheduler::choose_codecs(planning.problem, placed);
  for (const scheduler::Violation& violation :
       scheduler::check_placement(planning.problem, placed)) {
    return proto::Error{proto::ErrorKind::kResource, violation.message};
  }
  return planned(planning, placed, message.planner().empty() ? "a plan given" : message.planner());
}

}  // namespace longhaul::daemon
