// Claims about reports of plans, and about plans that are given.
#include "daemon/planning/fleet_trace.hpp"
#include "daemon/planning/job_planning.hpp"
#include "daemon/planning/plan_page.hpp"
#include "daemon/planning/plan_text.hpp"
#include "tests/unit/sample_graphs.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace longhaul::daemon {
namespace {

using scheduler::PlannerKind;
using Json = nlohmann::json;

struct Options {
  std::size_t hosts = 2;  // of each site
  std::uint32_t batch = 8;
  std::uint32_t micro_batch = 1;
  double mbps = 100.0;  // between the two sites
};

FleetModel fleet_model(const Options& options) {
  FleetModel model;
  model.kinds = {{.name = "k", .profile = {}, .tflops = 0.001, .memory_gb_per_s = 1.0}};
  model.bytes_per_s_of_mbps = 1e6 / 8.0;
  scheduler::Fleet& fleet = model.fleet;
  fleet.sites = {{.name = "here"}, {.name = "there"}};
  for (std::size_t h = 0; h < 2 * options.hosts; ++h) {
    fleet.hosts.push_back({.name = "node-" + std::to_string(h + 1), .site = h / options.hosts});
    fleet.devices.push_back({.node = fleet.hosts.back().name,
                             .device = "cuda:0",
                             .host = h,
                             .kind = "k",
                             .memory_bytes = 1'000'000'000,
                             .has_data = true});
  }
  fleet.between_sites.assign(4, {.delay_s = 0.01, .bytes_per_s = options.mbps / 8e-6});
  fleet.between_sites[0] = fleet.between_sites[3] = {.delay_s = 1e-5, .bytes_per_s = 1e9};
  return model;
}

wire::SubmitJob submission(const wire::Graph& graph, const Options& options) {
  wire::SubmitJob submission;
  *submission.mutable_graph() = graph;
  wire::Job& job = *submission.mutable_job();
  job.mutable_training()->set_batch(options.batch);
  job.mutable_training()->set_micro_batch(options.micro_batch);
  job.mutable_training()->set_precision("fp32");
  job.mutable_data()->set_sequence_length(16);
  job.mutable_pipeline()->set_schedule("1f1b");
  job.set_compression("dense");
  return submission;
}

PlanningOptions by(PlannerKind planner, std::uint64_t evaluations = 0) {
  PlanningOptions options;
  options.planner = planner;
  options.budget.evaluations = evaluations;
  return options;
}

TraceChange change_at(double at_s, double factor) {
  TraceChange change;
  change.at_s = at_s;
  change.rate_factor = factor;
  return change;
}

Trace trace_of(std::vector<TraceChange> changes, std::optional<double> repeat_s = std::nullopt) {
  Trace trace;
  trace.changes = std::move(changes);
  trace.repeat_s = repeat_s;
  return trace;
}

wire::Graph model() { return tests::gpt2_graph({.layers = 3, .width = 32, .vocabulary = 200}); }

PlanningCase case_of(const Options& options, const PlanningOptions& planning,
                     const wire::Graph& graph = model()) {
  auto made = planning_case(submission(graph, options), fleet_model(options), planning);
  REQUIRE_MESSAGE(made.has_value(), made.error().message);
  return std::move(*made);
}

TEST_CASE("report: the exchange of tied gradients is a link, and doubling its path is looked at") {
  const Options options{.hosts = 2, .mbps = 2.0};
  PlanningOptions planning = by(PlannerKind::kEqualCompute);
  planning.compare = true;
  const PlanningCase planning_case = case_of(options, planning);
  const PlannedJob job = plan_with(planning_case, planning).value();
  REQUIRE(job.report.stages.size() == 4);
  const auto tied = std::ranges::find(job.report.links, true, &LinkRow::tied);
  REQUIRE(tied != job.report.links.end());
  CHECK(tied->from == 0);
  CHECK(tied->to == 3);
  CHECK(tied->bytes == 200 * 32 * 4);
  CHECK(tied->late_s > 0.0);
  CHECK_FALSE(tied->hidden);
  CHECK(plan_text(job.report).find("tied gradients") != std::string::npos);
  const Json json = Json::parse(plan_json(job.report));
  CHECK(std::ranges::any_of(json["links"], [](const Json& link) {
    return link["direction"] == "tied" && link["from_stage"] == 0 && link["to_stage"] == 3 &&
           link["bytes_per_step"] == 200 * 32 * 4;
  }));
  // Neighbours 1 and 2 use the same path between the sites; within them all have their own, and
  // what only stages 0 and 3 exchange crosses there too.
  CHECK(std::ranges::any_of(job.report.what_ifs, [](const WhatIf& what_if) {
    return what_if.change == "twice the bandwidth from node-1 to node-2";
  }));
  CHECK(job.report.what_ifs.front().step_s < job.report.cost.step_s);
}

TEST_CASE("report: what jumps a stage is a link whose path may be doubled") {
  Options options{.hosts = 1};
  FleetModel fleet = fleet_model(options);
  fleet.fleet.sites.push_back({.name = "beyond"});
  fleet.fleet.hosts.push_back({.name = "node-3", .site = 2});
  fleet.fleet.devices.push_back(fleet.fleet.devices[0]);
  fleet.fleet.devices[2].node = "node-3";
  fleet.fleet.devices[2].host = 2;
  fleet.fleet.between_sites.assign(9, {.delay_s = 0.01, .bytes_per_s = 1e6});
  PlanningOptions planning = by(PlannerKind::kEqualCompute);
  planning.compare = true;
  const auto made = planning_case(submission(model(), options), fleet, planning).value();
  const PlannedJob job = plan_with(made, planning).value();
  REQUIRE(job.report.stages.size() == 3);
  CHECK(std::ranges::any_of(job.report.what_ifs, [](const WhatIf& what_if) {
    return what_if.change == "twice the bandwidth from node-1 to node-3";
  }));
}

TEST_CASE("page: 4096 micro-batches fit into a megabyte and a half, few are drawn one by one") {
  for (const auto& [hosts, batch] : {std::pair{2U, 4096U}, std::pair{4U, 4096U}}) {
    CAPTURE(hosts);
    const Options options{.hosts = hosts, .batch = batch};
    const PlanningOptions planning = by(PlannerKind::kEqualCompute);
    const PlannedJob job = plan_with(case_of(options, planning), planning).value();
    const std::string page = plan_page(job.report);
    CHECK(page.size() < 1'500'000);
    MESSAGE("page of ", job.report.stages.size(), " stages: ", page.size(), " bytes");
  }
  const PlanningOptions planning = by(PlannerKind::kEqualCompute);
  const PlannedJob few = plan_with(case_of({.batch = 8}, planning), planning).value();
  CHECK(plan_page(few.report).find("forward, micro-batch 7") != std::string::npos);
}

TEST_CASE("hybrid: its plan is told, written, simulated again, and refused by who would run it") {
  const Options options{.hosts = 4, .batch = 8, .micro_batch = 8};
  const PlanningOptions planning = by(PlannerKind::kHybrid, 400);
  const PlanningCase made = case_of(options, planning);
  const PlannedJob job = plan_with(made, planning).value();
  REQUIRE_FALSE(job.report.runs_today);  // one micro-batch: nothing to pipeline
  const std::string text = plan_text(job.report);
  CHECK(text.find(" more ") != std::string::npos);
  CHECK(text.find("planned only") != std::string::npos);
  CHECK(plan_page(job.report).find("data ") != std::string::npos);
  const Json json = Json::parse(plan_json(job.report));
  CHECK(json["runs_today"] == false);
  CHECK_FALSE(json["stages"][0]["strategies"].empty());

  const auto text_of_plan = proto::plan_json(job.plan);
  const wire::Plan read = proto::parse_plan_json(text_of_plan).value();
  const PlannedJob again = simulate_plan(made, read).value();
  CHECK(again.report.cost.step_s == doctest::Approx(job.report.cost.step_s));
  CHECK(proto::plan_json(again.plan) == text_of_plan);
  const auto run = proto::Plan::from_wire(read, made.graph);
  REQUIRE_FALSE(run.has_value());
  CHECK(run.error().message.find("workers execute one device per stage so far") !=
        std::string::npos);
  CHECK(run.error().message.find('\n') == std::string::npos);
}

TEST_CASE("auto: what no worker executes is returned only if asked for") {
  const Options options{.hosts = 4, .batch = 8, .micro_batch = 8};
  PlanningOptions planning = by(PlannerKind::kAuto, 400);
  const PlanningCase made = case_of(options, planning);
  const PlannedJob today = plan_with(made, planning).value();
  CHECK(today.report.runs_today);
  CHECK(proto::Plan::from_wire(today.plan, made.graph).has_value());
  planning.any_parallelism = true;
  const PlannedJob any = plan_with(made, planning).value();
  CHECK(any.report.planner == "hybrid");
  CHECK(any.report.cost.step_s < today.report.cost.step_s);
}

TEST_CASE("disaggregated: units are read off the operators' names") {
  const Options options{.hosts = 4, .batch = 16, .micro_batch = 4};
  const PlanningOptions planning = by(PlannerKind::kDisaggregated);
  const auto one = plan_with(case_of(options, planning), planning);
  REQUIRE_FALSE(one.has_value());
  CHECK(one.error().message.find("two or more units") != std::string::npos);
  wire::Graph graph = model();
  const auto renamed = [](const std::string& id, std::size_t place, std::size_t count) {
    return (3 * place < count ? "encoder/" : "backbone/") + id;
  };
  // All names that refer to an operator change with it.
  std::map<std::string, std::string> names;
  const proto::Graph ordered = proto::Graph::from_wire(graph).value();
  for (std::size_t i = 0; i < ordered.operators.size(); ++i) {
    names[ordered.operators[i].id] = renamed(ordered.operators[i].id, i, ordered.operators.size());
  }
  for (wire::Operator& op : *graph.mutable_operators()) {
    op.set_id(names[op.id()]);
    for (std::string& input : *op.mutable_inputs()) {
      if (names.contains(input)) input = names[input];
    }
  }
  graph.set_loss(names[graph.loss()]);
  if (!graph.logits().empty()) graph.set_logits(names[graph.logits()]);
  const PlanningCase made = case_of(options, planning, graph);
  const auto job = plan_with(made, planning);
  REQUIRE_MESSAGE(job.has_value(), job.error().message);
  CHECK(job->report.planner == "disaggregated");
  CHECK(job->report.stages.front().first_operator.starts_with("encoder/"));
  CHECK(std::ranges::any_of(job->report.stages, [](const StageRow& row) {
    return row.first_operator.starts_with("backbone/");
  }));
  const auto again = simulate_plan(made, job->plan);
  REQUIRE_MESSAGE(again.has_value(), again.error().message);
  CHECK(again->report.cost.step_s == doctest::Approx(job->report.cost.step_s));
}

TEST_CASE("a given plan: a node that the fleet lacks is unknown, with a guess of what was meant") {
  const PlanningOptions planning = by(PlannerKind::kEqualCompute);
  const PlanningCase made = case_of({}, planning);
  wire::Plan plan = plan_with(made, planning).value().plan;
  plan.mutable_stages(1)->set_node("node-22");
  CHECK(simulate_plan(made, plan)
            .error()
            .message.find("stage 1 is on node 'node-22', which the fleet does not have") !=
        std::string::npos);
  plan.mutable_stages(1)->set_node("node-2");
  plan.mutable_stages(1)->set_device("cuda:7");
  CHECK(simulate_plan(made, plan).error().message.find("device 'cuda:7', which node 'node-2'") !=
        std::string::npos);
}

TEST_CASE("trace: a step during which a path slows down takes longer, and its fast times count") {
  const Options options{.hosts = 1, .batch = 16, .mbps = 2.0};
  const PlanningOptions planning = by(PlannerKind::kEqualCompute);
  const auto step_s = [&](const Trace& trace) {
    FleetModel fleet = fleet_model(options);
    const auto played = play_trace(trace, fleet);
    REQUIRE_MESSAGE(played.has_value(), played.error().message);
    const auto made = planning_case(submission(model(), options), fleet, planning).value();
    return plan_with(made, planning).value().report.cost.step_s;
  };
  const double steady_s = step_s({});
  CHECK(step_s(trace_of({change_at(0.0, 0.5)})) > 1.5 * steady_s);
  CHECK(step_s(trace_of({change_at(0.0, 4.0)})) < 0.7 * steady_s);
  const double half_the_time_s =
      step_s(trace_of({change_at(0.0, 1.0), change_at(0.01, 0.25)}, 0.02));
  CHECK(half_the_time_s > 1.2 * steady_s);
  CHECK(half_the_time_s < 4.0 * steady_s);
  TraceChange same;
  same.rate_mbps = 2.0;
  CHECK(step_s(trace_of({same})) == doctest::Approx(steady_s));
  FleetModel fleet = fleet_model(options);
  TraceChange lossy;
  lossy.loss = 0.1;
  CHECK_FALSE(play_trace(trace_of({lossy}), fleet).has_value());
  TraceChange nowhere = change_at(0.0, 0.5);
  nowhere.from = "nowhere";
  CHECK_FALSE(play_trace(trace_of({nowhere}), fleet).has_value());
}

TEST_CASE("micro-batches of unequal cost: as many as there are, and their sum counts") {
  const Options options{.hosts = 1, .batch = 4};
  PlanningOptions planning = by(PlannerKind::kEqualCompute);
  const double alike_s = plan_with(case_of(options, planning), planning)->report.cost.step_s;
  planning.micro_batch_costs = {1.0, 1.0, 1.0, 1.0};
  CHECK(plan_with(case_of(options, planning), planning)->report.cost.step_s ==
        doctest::Approx(alike_s));
  planning.micro_batch_costs = {1.0, 3.0, 1.0, 1.0};
  CHECK(plan_with(case_of(options, planning), planning)->report.cost.step_s > 1.1 * alike_s);
  planning.micro_batch_costs = {1.0};
  CHECK(plan_with(case_of(options, planning), planning)
            .error()
            .message.find("1 costs of micro-batches, and a step has 4") != std::string::npos);
}

TEST_CASE("the job's own pins and exclusions count") {
  PlanningOptions planning = by(PlannerKind::kAuto, 300);
  wire::SubmitJob job = submission(model(), {});
  wire::Placement& placement = *job.mutable_job()->mutable_placement();
  placement.add_exclude("node-2");
  wire::Pin& pin = *placement.add_pins();
  pin.set_operator_id("wte");
  pin.set_node("node-3");
  const auto made = planning_case(job, fleet_model({}), planning).value();
  const PlannedJob planned = plan_with(made, planning).value();
  CHECK(planned.report.stages.front().node == "node-3");
  CHECK(std::ranges::none_of(planned.report.stages,
                             [](const StageRow& row) { return row.node == "node-2"; }));
}

}  // namespace
}  // namespace longhaul::daemon
