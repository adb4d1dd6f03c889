// Jobs whose planner wants profiles: who measures, when it is planned, and what the plan heeds.
#include "tests/pretended_profile.hpp"
#include "tests/unit/coordinator/fleet.hpp"

#include <doctest/doctest.h>

using namespace longhaul;
using namespace longhaul::daemon;

namespace {

wire::SubmitJob by_auto(std::uint32_t nodes) {
  wire::SubmitJob submission = make_submission(nodes);
  submission.set_planner("auto");
  return submission;
}

// What the node is asked to measure, since it last said hello.
std::vector<wire::MeasureProfile> orders(Fleet& fleet, const std::string& node) {
  std::vector<wire::MeasureProfile> found;
  for (const auto& message : fleet.inbox(node)) {
    if (message.has_measure_profile()) found.push_back(message.measure_profile());
  }
  return found;
}

void answer(Fleet& fleet, const std::string& node, const std::string& error = {}) {
  const auto order = orders(fleet, node).back();
  wire::Envelope message;
  message.mutable_profile_measured()->set_key(order.key());
  if (error.empty()) {
    message.mutable_profile_measured()->set_profile(tests::pretended_profile(order.request()));
  } else {
    message.mutable_profile_measured()->set_error(error);
  }
  fleet.say(node, std::move(message));
}

// The reply to the last submission: the job's id, the refusal's text, or nothing yet.
std::string outcome(Fleet& fleet, std::uint64_t request) {
  const auto replies = fleet.replies(request);
  if (replies.empty()) return "waits";
  return replies[0].has_accepted() ? replies[0].accepted().job_id()
                                   : replies[0].failure().message();
}

std::uint64_t submit(Fleet& fleet, const wire::SubmitJob& submission) {
  fleet.submit(submission);
  return fleet.last_request();
}

void finish(Fleet& fleet, std::uint32_t stages) {
  fleet.begin(stages);
  for (std::uint32_t i = 0; i < stages; ++i) fleet.finished(i);
}

bool has_log(const wire::JobStatus& job, const std::string& text) {
  for (const auto& line : job.log()) {
    if (line.find(text) != std::string::npos) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("profiles: one node of a kind measures the model, once, and then the job is planned") {
  Fleet fleet(2);
  fleet.hello_all();
  auto request = submit(fleet, by_auto(2));
  CHECK(outcome(fleet, request) == "waits");
  REQUIRE(orders(fleet, "node-1").size() == 1);
  CHECK(orders(fleet, "node-2").empty());
  const auto order = orders(fleet, "node-1")[0].request();
  CHECK(order.device() == "cpu");
  CHECK(order.threads() == 1);
  CHECK(order.precision() == "fp32");
  CHECK(order.graphs_size() == 1);
  CHECK(fleet.started("node-1").empty());
  // A job that needs no profile does not get a node that measures.
  CHECK(fleet.submit(2).find("node-1 measures a model") != std::string::npos);
  CHECK(fleet.node("node-1").state() == wire::READY);
  CHECK(fleet.node("node-1").reason() == "measures a model");

  answer(fleet, "node-1");
  CHECK(outcome(fleet, request) == "job-1");
  CHECK(fleet.node("node-1").reason().empty());
  const auto job = fleet.job("job-1");
  CHECK(job.plan().planner() == "auto");
  CHECK(job.plan().stages_size() == 2);
  CHECK(job.plan().epoch() == 1);
  // Six operators of 30 ms, two micro-batches: three stages' worth of 90 ms.
  CHECK(job.plan().predicted_step_s() == doctest::Approx(0.27).epsilon(0.1));
  CHECK(fleet.started("node-2").size() == 1);
  finish(fleet, 2);
  request = submit(fleet, by_auto(2));
  CHECK(outcome(fleet, request) == "job-2");
  CHECK(orders(fleet, "node-1").size() == 1);
}

TEST_CASE("profiles: a node with a share of its processor gets the smaller part") {
  Fleet fleet(2);
  fleet.cpu_shares["node-2"] = 0.5;
  fleet.hello_all();
  submit(fleet, by_auto(2));
  CHECK(orders(fleet, "node-2").empty());  // it is of the same kind
  answer(fleet, "node-1");
  const auto plan = fleet.job("job-1").plan();
  REQUIRE(plan.stages_size() == 2);
  for (const auto& stage : plan.stages()) {
    // Four and two, or five and one: with two micro-batches that is equally fast.
    CHECK((stage.operators_size() < 3) == (stage.node() == "node-2"));
  }
}

TEST_CASE("profiles: a placement that the planner would not keep to is refused") {
  Fleet fleet(2);
  fleet.hello_all();
  auto submission = by_auto(2);
  submission.set_planner("equal-compute");
  submission.mutable_job()->mutable_placement()->add_exclude("node-2");
  CHECK(outcome(fleet, submit(fleet, submission)).find("placement: equal-compute") == 0);
  submission.mutable_job()->clear_placement();
  CHECK(outcome(fleet, submit(fleet, submission)) == "job-1");
}

TEST_CASE("profiles: kinds at one place are measured one after the other") {
  Fleet fleet(2);
  fleet.descriptions["node-2"] = "another processor";
  fleet.hello_all();
  const auto request = submit(fleet, by_auto(0));
  REQUIRE(orders(fleet, "node-1").size() == 1);
  CHECK(orders(fleet, "node-2").empty());
  answer(fleet, "node-1");
  CHECK(outcome(fleet, request) == "waits");
  REQUIRE(orders(fleet, "node-2").size() == 1);
  answer(fleet, "node-2");
  CHECK(outcome(fleet, request) == "job-1");
}

TEST_CASE("profiles: where one cannot be had, equal-compute plans, and the job's log says why") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto request = submit(fleet, by_auto(2));
  answer(fleet, "node-1", "it takes over 120 s to measure");
  CHECK(outcome(fleet, request) == "job-1");
  const auto job = fleet.job("job-1");
  CHECK(job.plan().planner() == "equal-compute");
  CHECK(job.plan().predicted_step_s() == 0.0);
  CHECK(has_log(job, "planned by equal-compute: there is no profile of 'cpu, 1 thread'"));
  CHECK(has_log(job, "node-1: it takes over 120 s to measure"));
}

TEST_CASE("profiles: what a node sends is checked like a file") {
  Fleet fleet(1);
  fleet.hello_all();
  submit(fleet, by_auto(1));
  wire::Envelope message;
  message.mutable_profile_measured()->set_key(orders(fleet, "node-1")[0].key());
  message.mutable_profile_measured()->set_profile("{\"operators\": 7}");
  fleet.say("node-1", std::move(message));
  CHECK(has_log(fleet.job("job-1"), "the profile that node-1 sent"));
  // Nobody asked for this one.
  wire::Envelope stray;
  stray.mutable_profile_measured()->set_key("nothing");
  fleet.say("node-1", std::move(stray));
  CHECK(fleet.job("job-1").state() == wire::PREPARING);
}

TEST_CASE("profiles: a node that is lost while it measures leaves that to another") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto request = submit(fleet, by_auto(1));
  fleet.live(std::chrono::seconds(12), {"node-2"});
  CHECK(fleet.node("node-1").state() == wire::GONE);
  REQUIRE(orders(fleet, "node-2").size() == 1);
  answer(fleet, "node-2");
  CHECK(outcome(fleet, request) == "job-1");
  CHECK(fleet.job("job-1").plan().stages(0).node() == "node-2");
}

TEST_CASE("profiles: a node that comes back is asked again") {
  Fleet fleet(1);
  fleet.hello_all();
  const auto request = submit(fleet, by_auto(1));
  fleet.hello("node-1");
  REQUIRE(orders(fleet, "node-1").size() == 1);
  answer(fleet, "node-1");
  CHECK(outcome(fleet, request) == "job-1");
}

TEST_CASE("profiles: a node that never answers holds no job up for ever") {
  Fleet fleet(1);
  fleet.hello_all();
  const auto request = submit(fleet, by_auto(1));
  fleet.live(std::chrono::seconds(149), {"node-1"});
  CHECK(outcome(fleet, request) == "waits");
  fleet.live(std::chrono::seconds(2), {"node-1"});
  CHECK(outcome(fleet, request) == "job-1");
  CHECK(has_log(fleet.job("job-1"), "node-1: it does not answer"));
}

TEST_CASE("profiles: what earlier jobs' links carried counts") {
  Fleet fleet(2);
  fleet.hello_all();
  submit(fleet, by_auto(2));
  answer(fleet, "node-1");
  const double before = fleet.job("job-1").plan().predicted_step_s();
  fleet.begin(2);
  for (const std::uint32_t stage : {0u, 1u}) {
    wire::StageReport told;
    auto& link = *told.add_links();
    link.set_from_stage(stage);
    link.set_to_stage(1 - stage);
    link.set_goodput(512.0);  // a boundary is of 512 bytes: a second each
    link.set_round_trip_s(0.1);
    wire::WorkerEvent step;
    step.mutable_step()->set_step(1);
    step.mutable_step()->set_step_time_s(0.5);
    *step.mutable_step()->mutable_stage() = told;
    fleet.event(stage, std::move(step));
    wire::WorkerEvent finished;
    *finished.mutable_finished()->mutable_stage() = told;
    fleet.event(stage, std::move(finished));
  }
  CHECK(fleet.job("job-1").measured_step_s() == 0.5);
  submit(fleet, by_auto(2));
  CHECK(fleet.job("job-2").plan().predicted_step_s() > before + 2.0);
}

TEST_CASE("profiles: a job that cannot be planned at all is refused before anybody measures") {
  Fleet fleet(1);
  fleet.hello_all();
  auto submission = by_auto(1);
  submission.set_planner("oracle");
  CHECK(fleet.submit(submission) == "there is no planner 'oracle'");
  submission = by_auto(1);
  submission.mutable_graph()->clear_operators();
  CHECK(fleet.submit(submission) != "no reply");
  CHECK(orders(fleet, "node-1").empty());
}
