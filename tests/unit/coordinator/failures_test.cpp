// Which cause of a failure the user reads, lost nodes, and a coordinator that starts again.
#include "tests/unit/coordinator/fleet.hpp"

#include <doctest/doctest.h>

using namespace longhaul;
using namespace longhaul::daemon;

TEST_CASE("coordinator: a NaN ends the job at once, though others lost their links first") {
  Fleet fleet(3);
  fleet.hello_all();
  const auto id = fleet.submit(3);
  fleet.begin(3);
  fleet.failed(2, wire::Failure::LOST, "the link to stage 1 closed");
  CHECK(fleet.job(id).state() == wire::TRAINING);
  fleet.failed(1, wire::Failure::NUMERIC, "step 4: the loss became NaN");
  const auto job = fleet.job(id);
  CHECK(job.state() == wire::FAILED);
  CHECK(job.failure().kind() == wire::Failure::NUMERIC);
  CHECK(job.failure().message() == "stage 1 (node-2): step 4: the loss became NaN");
  CHECK(fleet.commands("node-1").back().has_stop());
  CHECK_FALSE(fleet.commands("node-3").back().has_stop());  // it has ended
}

TEST_CASE("coordinator: a node that saw its worker killed is believed before a peer that lost it") {
  Fleet fleet(3);
  fleet.hello_all();
  const auto id = fleet.submit(3);
  fleet.begin(3);
  fleet.failed(0, wire::Failure::LOST, "the link to stage 1 closed");
  fleet.failed(1, wire::Failure::LOST, "the worker was killed by signal 9", true);
  fleet.live(milliseconds(1500), {"node-1", "node-2", "node-3"});
  CHECK(fleet.job(id).state() == wire::TRAINING);
  fleet.live(milliseconds(1000), {"node-1", "node-2", "node-3"});
  CHECK(fleet.job(id).state() == wire::FAILED);
  CHECK(fleet.job(id).failure().message() == "stage 1 (node-2): the worker was killed by signal 9");
  CHECK(fleet.commands("node-3").back().has_stop());
}

TEST_CASE("coordinator: nothing is waited for when every worker has ended") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto id = fleet.submit(2);
  fleet.failed(0, wire::Failure::LOST, "the worker exited with status 3", true);
  CHECK(fleet.job(id).state() == wire::PREPARING);
  fleet.failed(1, wire::Failure::LOST, "no word from stage 0");
  CHECK(fleet.job(id).state() == wire::FAILED);
  CHECK(fleet.job(id).failure().message() == "stage 0 (node-1): the worker exited with status 3");
}

TEST_CASE("coordinator: a failure is one line however the worker words it") {
  Fleet fleet(1);
  fleet.hello_all();
  const auto id = fleet.submit(1);
  fleet.failed(0, wire::Failure::RESOURCE,
               "out of memory\nat here\tthere" + std::string(5000, 'x'));
  const auto message = fleet.job(id).failure().message();
  CHECK(message.find('\n') == std::string::npos);
  CHECK(message.size() <= 2000);
  CHECK(message.starts_with("stage 0 (node-1): out of memory at here there"));
}

TEST_CASE("coordinator: a node is lost after five silent heartbeat intervals, its job with it") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto id = fleet.submit(2);
  fleet.begin(2);
  fleet.live(milliseconds(10000), {"node-1"});
  CHECK(fleet.node("node-2").state() == wire::BUSY);
  fleet.live(milliseconds(500), {"node-1"});
  CHECK(fleet.node("node-2").state() == wire::GONE);
  CHECK(fleet.node("node-2").reason() == "no heartbeat for 10 s");
  fleet.live(milliseconds(2500), {"node-1"});
  CHECK(fleet.job(id).state() == wire::FAILED);
  CHECK(fleet.job(id).failure().message() ==
        "stage 1 (node-2): the node is gone: no heartbeat for 10 s");
  CHECK(fleet.job(id).failure().kind() == wire::Failure::LOST);
}

TEST_CASE("coordinator: standing still itself loses no node") {
  Fleet fleet(1);
  fleet.hello_all();
  fleet.pass(std::chrono::minutes(5));
  CHECK(fleet.node("node-1").state() == wire::READY);
}

TEST_CASE("coordinator: a connection that takes nothing loses its node") {
  Fleet fleet(2);
  fleet.hello_all();
  fleet.network.broken.insert(fleet.connection("node-2"));
  const auto id = fleet.submit(2);
  fleet.live(milliseconds(500), {"node-1"});
  CHECK(fleet.node("node-2").state() == wire::GONE);
  CHECK(fleet.node("node-2").reason() == "its connection was lost");
  fleet.live(milliseconds(2500), {"node-1"});
  CHECK(fleet.job(id).state() == wire::FAILED);
}

TEST_CASE("coordinator: a node's last words are read before its connection counts as lost") {
  Fleet fleet(2);
  fleet.hello_all();
  fleet.network.broken.insert(fleet.connection("node-2"));
  fleet.submit(2);
  wire::Envelope goodbye;
  goodbye.mutable_node_goodbye()->set_reason("stopped by SIGTERM");
  fleet.say("node-2", goodbye);
  fleet.live(milliseconds(500), {"node-1"});
  CHECK(fleet.node("node-2").reason() == "stopped by SIGTERM");
}

TEST_CASE("coordinator: a lost link is blamed on the dead node behind it, probed or silent") {
  for (const bool refuses : {true, false}) {
    Fleet fleet(2);
    fleet.hello_all();
    const auto id = fleet.submit(2);
    fleet.begin(2);
    if (refuses) fleet.network.broken.insert(fleet.connection("node-2"));
    fleet.failed(0, wire::Failure::LOST, "the link to stage 1 closed");
    fleet.live(milliseconds(refuses ? 3000 : 13000), {"node-1"});
    CHECK(fleet.job(id).state() == wire::FAILED);
    CHECK(fleet.job(id).failure().message() ==
          (refuses ? "stage 1 (node-2): the node is gone: its connection was lost"
                   : "stage 1 (node-2): the node is gone: no heartbeat for 10 s"));
  }
}

TEST_CASE("coordinator: a goodbye counts at once and says why") {
  Fleet fleet(1);
  fleet.hello_all();
  wire::Envelope goodbye;
  goodbye.mutable_node_goodbye()->set_reason("stopped by SIGTERM");
  fleet.say("node-1", goodbye);
  CHECK(fleet.node("node-1").state() == wire::GONE);
  CHECK(fleet.node("node-1").reason() == "stopped by SIGTERM");
  CHECK(fleet.submit(1).find("node-1 is gone: stopped by SIGTERM") != std::string::npos);
}

TEST_CASE("coordinator: a node under another's name is refused") {
  Fleet fleet(2);
  wire::Envelope hello;
  hello.mutable_node_hello()->mutable_info()->set_name("node-2");
  hello.mutable_node_hello()->mutable_info()->add_devices()->set_name("cpu");
  fleet.coordinator->on_message({"c", Fleet::key("node-1")}, hello);
  REQUIRE(fleet.network.received["c"].size() == 1);
  CHECK(fleet.network.received["c"][0].failure().kind() == wire::Failure::CONFIGURATION);
  CHECK(fleet.network.received["c"][0].failure().message().starts_with(
      "this key belongs to node 'node-1', not to 'node-2'"));
}

TEST_CASE("coordinator: a node without devices, or with strange ones, is refused") {
  wire::NodeInfo info;
  info.set_name("node-1");
  CHECK_FALSE(check_node_info(info).has_value());
  info.add_devices()->set_name("cuda:0");
  info.add_devices()->set_name("cpu");
  CHECK(check_node_info(info).has_value());
  info.add_devices()->set_name("cpu");
  CHECK_FALSE(check_node_info(info).has_value());
  info.mutable_devices(2)->set_name("cuda:");
  CHECK_FALSE(check_node_info(info).has_value());
  info.mutable_devices(2)->set_name("cuda:1x");
  CHECK_FALSE(check_node_info(info).has_value());
}

TEST_CASE("coordinator: an unregistered node's heartbeat makes it introduce itself") {
  Fleet fleet(1);
  wire::Envelope heartbeat;
  heartbeat.mutable_heartbeat();
  fleet.say("node-1", heartbeat);
  CHECK(fleet.inbox("node-1").back().has_failure());
  fleet.hello("node-1");
  CHECK(fleet.inbox("node-1").back().node_welcome().heartbeat_interval_ms() == 2000);
  fleet.say("node-1", heartbeat);
  CHECK(fleet.inbox("node-1").back().has_heartbeat());
}

TEST_CASE("coordinator: a stranger's messages are not answered") {
  Fleet fleet(1);
  wire::Envelope message;
  message.mutable_list_jobs();
  fleet.coordinator->on_message({"x", "unknown-key"}, message);
  CHECK(fleet.network.received["x"].empty());
  // An operator's key says nothing that is a node's to say, and the other way about.
  wire::Envelope hello;
  hello.mutable_node_hello();
  CHECK(fleet.ask(hello).at(0).has_failure());
  fleet.hello("node-1");
  fleet.say("node-1", message);
  CHECK_FALSE(fleet.inbox("node-1").back().has_job_list());
}

TEST_CASE("coordinator: refusals of a submission say what is wrong and start nothing") {
  Fleet fleet(2);
  fleet.hello("node-1");
  const auto refusal = [&](const wire::SubmitJob& submission) {
    wire::Envelope message;
    *message.mutable_submit_job() = submission;
    const auto reply = fleet.ask(message).at(0);
    CHECK(fleet.started("node-1").empty());
    return reply.failure();
  };
  CHECK(refusal(make_submission(2)).message().starts_with("the job asks for 2 nodes, 1 is free"));
  CHECK(refusal(make_submission(2)).kind() == wire::Failure::RESOURCE);

  auto cyclic = make_submission(1);
  cyclic.mutable_graph()->mutable_operators(1)->set_inputs(0, "c");
  CHECK(refusal(cyclic).kind() == wire::Failure::CONFIGURATION);
  auto uneven = make_submission(1);
  uneven.mutable_job()->mutable_training()->set_micro_batch(3);
  CHECK(refusal(uneven).kind() == wire::Failure::CONFIGURATION);
  auto elsewhere = make_submission(1);
  elsewhere.mutable_job()->mutable_data()->add_nodes("node-l");
  CHECK(refusal(elsewhere).message() ==
        "data.nodes: there is no node 'node-l'; known: node-1; did you mean 'node-1'?");
  wire::SubmitJob planned = make_submission(1);
  auto& plan = *planned.mutable_plan();
  plan.set_schedule("1f1b");
  plan.set_micro_batches(2);
  plan.set_micro_batch_size(2);
  auto& stage = *plan.add_stages();
  stage.set_device("cpu");
  stage.set_threads(1);
  for (const auto& op : planned.graph().operators()) stage.add_operators(op.id());
  stage.set_has_data(true);
  stage.set_node("paris");
  CHECK(refusal(planned).message() == "plan: stage 0: there is no node 'paris'; known: node-1");
  CHECK(refusal(planned).kind() == wire::Failure::CONFIGURATION);
  fleet.hello("node-1", {}, 1000);
  CHECK(refusal(make_submission(1)).kind() == wire::Failure::RESOURCE);
  fleet.hello("node-2");
  CHECK(fleet.submit(0).find("node-1") != std::string::npos);  // too little memory there
}

TEST_CASE("coordinator: a node with data takes the first stage, others get their labels sent") {
  Fleet fleet(2);
  fleet.hello_all();
  auto submission = make_submission(2);
  submission.mutable_job()->mutable_data()->add_nodes("node-2");
  fleet.submit(submission);
  const auto started = fleet.started("node-2");
  REQUIRE(started.size() == 1);
  CHECK(started[0].stage() == 0);
  CHECK(started[0].plan().stages(0).has_data());
  CHECK_FALSE(started[0].plan().stages(1).has_data());
}

TEST_CASE("coordinator: a query for ready nodes is answered when they are there") {
  Fleet fleet(2);
  fleet.hello("node-1");
  wire::Envelope message;
  message.mutable_list_nodes()->set_ready(2);
  CHECK(fleet.ask(message).empty());
  const auto request = fleet.last_request();
  fleet.hello("node-2");
  REQUIRE(fleet.replies(request).size() == 1);
  CHECK(fleet.replies(request)[0].node_list().nodes_size() == 2);
}

TEST_CASE("coordinator: it finds its jobs again, and steps reported meanwhile are not lost") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto id = fleet.submit(2);
  fleet.begin(2);
  fleet.step(1, 1);
  fleet.restart();
  CHECK(fleet.job(id).state() == wire::TRAINING);
  CHECK(fleet.node("node-1").reason() == "not back yet since the coordinator restarted");
  fleet.hello("node-1", {{id, 1, 0}});
  fleet.hello("node-2", {{id, 1, 1}});
  CHECK(fleet.commands("node-1").back().has_begin());  // in case the first was lost
  CHECK(fleet.started("node-1").empty());
  fleet.step(1, 1);  // stored before: sent again
  fleet.step(1, 2);
  fleet.step(0, 1);
  fleet.step(0, 2);
  CHECK(fleet.job(id).step() == 2);
  std::vector<std::uint64_t> steps;
  for (const auto& event : fleet.store.job_events[id]) {
    if (event.has_step()) steps.push_back(event.step().step());
  }
  CHECK(steps == std::vector<std::uint64_t>{1, 2});
  CHECK(fleet.submit(1).starts_with("the job asks for 1 node, 0 are free"));
}

TEST_CASE("coordinator: after a restart the plan's epoch goes on from the store") {
  Fleet fleet(1);
  fleet.hello_all();
  fleet.submit(1);
  fleet.failed(0, wire::Failure::CONFIGURATION, "no");
  fleet.restart();
  fleet.hello("node-1");
  CHECK(fleet.submit(1) == "job-2");
  CHECK(fleet.started("node-1").back().plan().epoch() == 2);
}

TEST_CASE("coordinator: a node that is not back after a restart is lost by the usual deadline") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto id = fleet.submit(2);
  fleet.begin(2);
  fleet.restart();
  fleet.hello("node-1", {{id, 1, 0}});
  fleet.live(milliseconds(13000), {"node-1"});
  CHECK(fleet.job(id).state() == wire::FAILED);
  CHECK(fleet.job(id).failure().message().starts_with("stage 1 (node-2): the node is gone"));
}

TEST_CASE("coordinator: a StartWorker that was lost with a connection is sent again") {
  Fleet fleet(1);
  fleet.hello_all();
  fleet.submit(1);
  fleet.hello("node-1");  // without the worker: it never heard of it
  REQUIRE(fleet.started("node-1").size() == 1);
  CHECK(fleet.started("node-1")[0].stage() == 0);
}

TEST_CASE("coordinator: a daemon that restarted has lost its worker") {
  Fleet fleet(1);
  fleet.hello_all();
  const auto id = fleet.submit(1);
  fleet.begin(1);
  fleet.hello("node-1");
  CHECK(fleet.job(id).state() == wire::FAILED);
  CHECK(fleet.job(id).failure().message() ==
        "stage 0 (node-1): its node came back without the worker: the daemon there restarted");
  CHECK(fleet.node("node-1").state() == wire::READY);
}

TEST_CASE("coordinator: a worker of a job that ended meanwhile is stopped when its node is back") {
  Fleet fleet(1);
  fleet.hello_all();
  const auto id = fleet.submit(1);
  fleet.begin(1);
  fleet.cancel(id);
  fleet.hello("node-1", {{id, 1, 0}});
  REQUIRE(fleet.commands("node-1").size() == 1);
  CHECK(fleet.commands("node-1")[0].has_stop());
  CHECK(fleet.node("node-1").state() == wire::BUSY);
}

TEST_CASE("coordinator: a suspected failure survives a restart and ends the job after the grace") {
  Fleet fleet(2);
  fleet.hello_all();
  const auto id = fleet.submit(2);
  fleet.begin(2);
  fleet.failed(0, wire::Failure::LOST, "the worker exited with status 1", true);
  fleet.restart();
  fleet.hello("node-1");
  fleet.hello("node-2", {{id, 1, 1}});
  CHECK(fleet.job(id).state() == wire::TRAINING);
  fleet.live(milliseconds(2500), {"node-1", "node-2"});
  CHECK(fleet.job(id).state() == wire::FAILED);
  CHECK(fleet.commands("node-2").back().has_stop());
}

TEST_CASE("node table: names sort as people count") {
  const NaturalLess less;
  CHECK(less("node-2", "node-10"));
  CHECK_FALSE(less("node-10", "node-2"));
  CHECK(less("a", "b"));
  CHECK(less("node", "node-1"));
  CHECK(less("node-007", "node-7"));
  CHECK_FALSE(less("node-7", "node-007"));
  CHECK_FALSE(less("x", "x"));
  CHECK(less("n1a2", "n1a10"));
}
