// A job's life as the coordinator drives it, from the submission to its end.
#include "tests/unit/coordinator/fleet.hpp"

#include <doctest/doctest.h>

using namespace longhaul;
using namespace longhaul::daemon;

namespace {

std::vector<wire::JobEvent> watched(Fleet& fleet, std::uint64_t request) {
  std::vector<wire::JobEvent> events;
  for (const auto& reply : fleet.replies(request)) {
    if (reply.has_job_event()) events.push_back(reply.job_event());
  }
  return events;
}

std::uint64_t watch(Fleet& fleet, const std::string& id, std::uint64_t from = 0) {
  wire::Envelope message;
  message.mutable_watch_job()->set_job_id(id);
  message.mutable_watch_job()->set_from_event(from);
  fleet.ask(std::move(message));
  return fleet.last_request();
}

}  // namespace

TEST_CASE("coordinator: a submitted job starts one worker per node, in the nodes' natural order") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto id = fleet.submit(0);
  CHECK(id == "job-1");
  CHECK(fleet.job(id).state() == wire::PREPARING);
  for (int i = 0; i < 2; ++i) {
    const auto started = fleet.started(Fleet::name(i + 1));
    REQUIRE(started.size() == 1);
    CHECK(started[0].stage() == static_cast<std::uint32_t>(i));
    CHECK(started[0].plan().stages_size() == 2);
    CHECK(started[0].plan().epoch() == 1);
    CHECK(started[0].job_id() == id);
    CHECK(started[0].graph().operators_size() == 6);
  }
  CHECK(fleet.node("node-1").state() == wire::BUSY);
  CHECK(fleet.node("node-1").job_id() == id);
}

TEST_CASE("coordinator: Begin goes out once all stages are ready, and names every other stage") {
  Fleet fleet(3);
  fleet.hello_all();
  fleet.submit(3);
  fleet.ready(2);
  fleet.ready(0);
  CHECK(fleet.commands("node-1").empty());
  fleet.ready(1);
  const auto commands = fleet.commands("node-2");
  REQUIRE(commands.size() == 1);
  REQUIRE(commands[0].has_begin());
  CHECK(commands[0].stage() == 1);
  REQUIRE(commands[0].begin().peers_size() == 2);
  CHECK(commands[0].begin().peers(0).stage() == 0);
  CHECK(commands[0].begin().peers(0).endpoint() == "tcp://127.0.0.1:5000");
  CHECK(commands[0].begin().peers(1).public_key() == "worker-2");
}

TEST_CASE("coordinator: a job trains once every stage is linked, and is done when all finished") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto id = fleet.submit(2);
  fleet.ready(0);
  fleet.ready(1);
  CHECK(fleet.job(id).state() == wire::PREPARING);
  fleet.linked(0);
  fleet.linked(1);
  CHECK(fleet.job(id).state() == wire::TRAINING);
  for (std::uint64_t step = 1; step <= 3; ++step) {
    fleet.step(0, step);
    fleet.step(1, step);
  }
  fleet.finished(0);
  CHECK(fleet.job(id).state() == wire::TRAINING);
  CHECK(fleet.node("node-1").state() == wire::READY);
  fleet.finished(1);
  const auto job = fleet.job(id);
  CHECK(job.state() == wire::DONE);
  CHECK(job.step() == 3);
  CHECK(job.loss() == 2.0);
  CHECK(job.tokens_per_s() == 64.0);
  CHECK(job.stages(1).parameters() == 10);
  CHECK(fleet.node("node-2").state() == wire::READY);
}

TEST_CASE("coordinator: a step is committed when all stages reported it, with the last's loss") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto id = fleet.submit(2);
  const auto request = watch(fleet, id);
  fleet.begin(2);
  fleet.step(1, 1);
  fleet.step(1, 2);
  CHECK(fleet.job(id).step() == 0);
  fleet.step(0, 1);
  CHECK(fleet.job(id).step() == 1);
  CHECK(fleet.job(id).loss() == 4.0);
  fleet.step(0, 2);
  const auto events = watched(fleet, request);
  REQUIRE(events.size() == 4);  // preparing, training, two steps
  CHECK(events[0].state().state() == wire::PREPARING);
  CHECK(events[1].state().state() == wire::TRAINING);
  CHECK(events[2].step().step() == 1);
  CHECK(events[3].step().loss() == 3.0);
  CHECK(events[3].stages_size() == 2);
  CHECK(events[3].bytes_sent() == 400);
  for (std::size_t i = 0; i < events.size(); ++i) CHECK(events[i].index() == i);
}

TEST_CASE("coordinator: an evaluation is told after the step that it belongs to") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto id = fleet.submit(2);
  const auto request = watch(fleet, id);
  fleet.begin(2);
  fleet.step(1, 1);
  wire::WorkerEvent evaluation;
  evaluation.mutable_evaluation()->set_step(1);
  evaluation.mutable_evaluation()->set_loss(3.5);
  fleet.event(1, evaluation);
  fleet.event(1, evaluation);
  fleet.step(0, 1);
  const auto events = watched(fleet, request);
  REQUIRE(events.size() == 4);
  CHECK(events[2].has_step());
  CHECK(events[3].evaluation().loss() == 3.5);
  CHECK(fleet.job(id).evaluation_loss() == 3.5);
}

TEST_CASE("coordinator: a checkpoint is told once, when every stage has written its part") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto id = fleet.submit(2);
  const auto request = watch(fleet, id);
  fleet.begin(2);
  wire::WorkerEvent checkpoint;
  checkpoint.mutable_checkpoint()->set_step(2);
  checkpoint.mutable_checkpoint()->set_path("/out/step-2");
  fleet.event(0, checkpoint);
  CHECK(watched(fleet, request).size() == 2);
  fleet.event(0, checkpoint);
  fleet.event(1, checkpoint);
  fleet.event(1, checkpoint);
  const auto events = watched(fleet, request);
  REQUIRE(events.size() == 3);
  CHECK(events[2].checkpoint().path() == "/out/step-2");
}

TEST_CASE("coordinator: a checkpoint that cannot be written is told with stage and node") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto id = fleet.submit(2);
  const auto request = watch(fleet, id);
  fleet.begin(2);
  wire::WorkerEvent checkpoint;
  checkpoint.mutable_checkpoint()->set_step(2);
  checkpoint.mutable_checkpoint()->set_error("no space left");
  fleet.event(1, checkpoint);
  const auto events = watched(fleet, request);
  REQUIRE(events.size() == 3);
  CHECK(events[2].checkpoint().error() == "stage 1 (node-2): no space left");
  CHECK(fleet.job(id).state() == wire::TRAINING);
}

TEST_CASE("coordinator: repeated and out-of-date worker events change nothing, but are answered") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto id = fleet.submit(2);
  fleet.begin(2);
  fleet.step(0, 1);
  fleet.step(1, 1);
  const auto events = fleet.store.job_events[id].size();
  const auto answers = fleet.inbox("node-2").size();
  fleet.step(1, 1);
  fleet.ready(1);
  fleet.linked(1);
  wire::WorkerEvent old;
  old.set_epoch(77);
  old.mutable_failed()->set_message("of another epoch");
  fleet.event(1, old);
  CHECK(fleet.store.job_events[id].size() == events);
  CHECK(fleet.job(id).state() == wire::TRAINING);
  CHECK(fleet.job(id).step() == 1);
  REQUIRE(fleet.inbox("node-2").size() == answers + 4);
  CHECK(fleet.inbox("node-2").back().has_worker_event_stored());
}

TEST_CASE("coordinator: an event is answered after it is stored, with the event's number") {
  Fleet fleet(1);
  fleet.hello_all();
  fleet.submit(1);
  wire::WorkerEvent linked;
  linked.mutable_linked();
  fleet.event(0, linked, 42);
  CHECK(fleet.inbox("node-1").back().has_worker_event_stored());
  CHECK(fleet.inbox("node-1").back().request() == 42);
  const auto before = fleet.inbox("node-1").size();
  fleet.store.full = true;
  CHECK_THROWS_AS(fleet.ready(0), proto::Failed);
  CHECK(fleet.inbox("node-1").size() == before);
}

TEST_CASE("coordinator: a node cannot speak for a worker of another node") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto id = fleet.submit(2);
  wire::Envelope message;
  auto& event = *message.mutable_worker_event();
  event.set_job_id(id);
  event.set_epoch(1);
  event.set_stage(0);
  event.mutable_failed()->set_message("not mine");
  fleet.say("node-2", message);
  fleet.pass(milliseconds(5000));
  CHECK(fleet.job(id).state() == wire::PREPARING);
}

TEST_CASE("coordinator: resuming at different steps is refused, at one step goes on after it") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto id = fleet.submit(2);
  SUBCASE("different") {
    fleet.ready(0, 20);
    fleet.ready(1, 10);
    CHECK(fleet.job(id).state() == wire::FAILED);
    CHECK(fleet.job(id).failure().kind() == wire::Failure::CONFIGURATION);
  }
  SUBCASE("one") {
    fleet.ready(0, 2);
    fleet.ready(1, 2);
    CHECK(fleet.job(id).step() == 2);
    fleet.step(0, 3);
    fleet.step(1, 3);
    CHECK(fleet.job(id).step() == 3);
  }
}

TEST_CASE("coordinator: cancelling stops every worker, and frees the nodes once they have ended") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto id = fleet.submit(2);
  fleet.begin(2);
  fleet.cancel(id);
  CHECK(fleet.job(id).state() == wire::CANCELLED);
  CHECK(fleet.commands("node-1").back().has_stop());
  CHECK(fleet.commands("node-2").back().has_stop());
  CHECK(fleet.submit(2).starts_with("the job asks for 2 nodes, 0 are free (node-1 is busy"));
  fleet.failed(0, wire::Failure::CANCELLED, "stopped", true);
  fleet.failed(1, wire::Failure::CANCELLED, "stopped", true);
  CHECK(fleet.job(id).state() == wire::CANCELLED);
  CHECK(fleet.submit(2) == "job-2");
}

TEST_CASE("coordinator: cancelling what has ended, or never was, is refused with a reason") {
  Fleet fleet(1);
  fleet.hello_all();
  const auto id = fleet.submit(1);
  fleet.cancel(id);
  wire::Envelope message;
  message.mutable_cancel_job()->set_job_id(id);
  CHECK(fleet.ask(message).at(0).failure().message() == "job job-1 has ended already");
  message.mutable_cancel_job()->set_job_id("job-9");
  CHECK(fleet.ask(message).at(0).failure().message() ==
        "there is no job 'job-9': see `longhaul job list`");
}

TEST_CASE("coordinator: an export is asked of stage 0 while a job trains, told when it is there") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto id = fleet.submit(2);
  wire::Envelope message;
  message.mutable_export_job()->set_job_id(id);
  message.mutable_export_job()->set_directory("/models/tiny");
  CHECK(fleet.ask(message).at(0).failure().kind() == wire::Failure::CONFIGURATION);
  fleet.begin(2);
  CHECK(fleet.ask(message).at(0).has_accepted());
  CHECK(fleet.commands("node-1").back().export_().directory() == "/models/tiny");
  CHECK_FALSE(fleet.commands("node-2").back().has_export_());
  wire::WorkerEvent exported;
  exported.mutable_exported()->set_path("/models/tiny");
  fleet.event(0, exported);
  CHECK(fleet.job(id).exported_to() == "/models/tiny");
  message.mutable_export_job()->set_directory("models/tiny");
  CHECK(fleet.ask(message).at(0).failure().message() ==
        "the export's folder must be an absolute path");
}

TEST_CASE("coordinator: a watch starts anywhere in the history, and ends with the job") {
  Fleet fleet(1);
  fleet.hello_all();
  const auto id = fleet.submit(1);
  fleet.begin(1);
  fleet.step(0, 1);
  const auto all = watch(fleet, id);
  const auto later = watch(fleet, id, 2);
  fleet.step(0, 2);
  fleet.finished(0);
  const auto after = watch(fleet, id);
  CHECK(watched(fleet, all).size() == 5);  // preparing, training, 1, 2, done
  CHECK(watched(fleet, all).back().state().state() == wire::DONE);
  CHECK(watched(fleet, later).size() == 3);
  CHECK(watched(fleet, later).front().step().step() == 1);
  CHECK(watched(fleet, after).size() == 5);
}

TEST_CASE("coordinator: jobs that ended are forgotten, oldest first, beyond the number kept") {
  Fleet fleet(1, {.access = {}, .kept_jobs = 2});
  fleet.hello_all();
  for (int i = 0; i < 4; ++i) {
    fleet.submit(1);
    fleet.failed(0, wire::Failure::CONFIGURATION, "no such file");
  }
  fleet.submit(1);
  wire::Envelope message;
  message.mutable_list_jobs();
  const auto list = fleet.ask(message).at(0).job_list();
  REQUIRE(list.jobs_size() == 3);
  CHECK(list.jobs(0).id() == "job-3");
  CHECK(list.jobs(2).id() == "job-5");
  CHECK(fleet.store.state.jobs.size() == 3);
}
