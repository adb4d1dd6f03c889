// The node's state machine between a fake coordinator and fake worker processes.
#include "daemon/node/node.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <map>

using namespace longhaul;
using namespace longhaul::daemon;

namespace {

struct FakeClock final : Clock {
  TimePoint time{std::chrono::hours(1)};
  [[nodiscard]] TimePoint now() const override { return time; }
  [[nodiscard]] std::uint64_t unix_ms() const override { return 0; }
};

struct FakeUplink final : Uplink {
  std::vector<wire::Envelope> sent;
  bool full = false;
  bool send(const wire::Envelope& message) override {
    if (!full) sent.push_back(message);
    return !full;
  }
};

struct FakeHost final : WorkerHost {
  std::vector<WorkerId> spawned;
  std::map<WorkerId, std::vector<wire::Envelope>> told;
  std::vector<std::pair<WorkerId, int>> signals;
  bool refuse = false;
  proto::Result<void> spawn(const WorkerId& id, const wire::Stage&) override {
    if (refuse) return proto::Error{proto::ErrorKind::kResource, "cannot start a process"};
    spawned.push_back(id);
    return {};
  }
  bool send(const WorkerId& id, const wire::Envelope& message) override {
    told[id].push_back(message);
    return true;
  }
  void signal(const WorkerId& id, int number) override { signals.emplace_back(id, number); }
};

struct Daemon {
  FakeClock clock;
  FakeUplink uplink;
  FakeHost host;
  Node node{options(), clock, uplink, host};

  static Node::Options options() {
    Node::Options options;
    options.info.set_name("node-1");
    options.info.set_host("node-1.example");
    options.bind_host = "0.0.0.0";
    return options;
  }
  static WorkerId id(std::uint32_t stage = 0, std::uint64_t epoch = 1) {
    return {"job-1", epoch, stage};
  }

  void welcome() {
    wire::Envelope message;
    message.mutable_node_welcome()->set_heartbeat_interval_ms(1000);
    node.on_coordinator_message(message);
  }
  void connect() {
    node.on_connection(true, {});
    welcome();
    uplink.sent.clear();
  }
  void start(const WorkerId& id) {
    wire::Envelope message;
    auto& assignment = *message.mutable_start_worker()->mutable_assignment();
    assignment.set_job_id(id.job_id);
    assignment.set_stage(id.stage);
    assignment.mutable_plan()->set_epoch(id.epoch);
    for (int i = 0; i < 2; ++i) assignment.mutable_plan()->add_stages()->set_device("cpu");
    node.on_coordinator_message(message);
  }
  void worker_hello(const WorkerId& id) {
    wire::Envelope message;
    set_worker_id(*message.mutable_worker_hello(), id);
    node.on_worker_message(id, message);
  }
  void worker_says(const WorkerId& id, const wire::WorkerEvent& event) {
    wire::Envelope message;
    *message.mutable_worker_event() = event;
    node.on_worker_message(id, message);
  }
  void worker_step(const WorkerId& id, std::uint64_t step) {
    wire::WorkerEvent event;
    event.mutable_step()->set_step(step);
    worker_says(id, event);
  }
  void worker_finished(const WorkerId& id) {
    wire::WorkerEvent event;
    event.mutable_finished();
    worker_says(id, event);
  }
  void command(const WorkerId& id, const wire::WorkerCommand& what) {
    wire::Envelope message;
    *message.mutable_worker_command() = what;
    set_worker_id(*message.mutable_worker_command(), id);
    node.on_coordinator_message(message);
  }
  void stop_worker(const WorkerId& id) {
    wire::WorkerCommand stop;
    stop.mutable_stop();
    command(id, stop);
  }
  // Time goes by while the coordinator answers heartbeats.
  void pass_in_touch(milliseconds duration) {
    clock.time += duration;
    wire::Envelope echo;
    echo.mutable_heartbeat();
    node.on_coordinator_message(echo);
    node.on_tick(clock.time);
  }
  void pass(milliseconds duration) {
    clock.time += duration;
    node.on_tick(clock.time);
  }
  std::vector<wire::WorkerEvent> events() const {
    std::vector<wire::WorkerEvent> found;
    for (const auto& message : uplink.sent) {
      if (message.has_worker_event()) found.push_back(message.worker_event());
    }
    return found;
  }
  const wire::NodeHello* last_hello() const {
    for (auto it = uplink.sent.rbegin(); it != uplink.sent.rend(); ++it) {
      if (it->has_node_hello()) return &it->node_hello();
    }
    return nullptr;
  }
};

}  // namespace

TEST_CASE("node: introduces itself when connected, and again until it is welcome") {
  Daemon daemon;
  daemon.pass(milliseconds(5000));
  CHECK(daemon.uplink.sent.empty());
  daemon.node.on_connection(true, {});
  REQUIRE(daemon.uplink.sent.size() == 1);
  CHECK(daemon.uplink.sent[0].node_hello().info().name() == "node-1");
  daemon.pass(milliseconds(2000));
  CHECK(daemon.uplink.sent.size() == 2);
  daemon.welcome();
  daemon.pass(milliseconds(1000));
  CHECK(daemon.uplink.sent.back().has_heartbeat());
}

TEST_CASE("node: without echoes of its heartbeats it introduces itself again") {
  Daemon daemon;
  daemon.connect();
  for (int i = 0; i < 5; ++i) daemon.pass(milliseconds(1000));
  CHECK(daemon.last_hello() == nullptr);
  daemon.pass(milliseconds(1000));
  CHECK(daemon.last_hello() != nullptr);
}

TEST_CASE("node: a coordinator that does not know it is told again") {
  Daemon daemon;
  daemon.connect();
  wire::Envelope failure;
  failure.mutable_failure()->set_kind(wire::Failure::LOST);
  daemon.node.on_coordinator_message(failure);
  CHECK(daemon.last_hello() != nullptr);
  CHECK_FALSE(daemon.node.refused());
}

TEST_CASE("node: a refusal of its name is final") {
  Daemon daemon;
  daemon.node.on_connection(true, {});
  wire::Envelope failure;
  failure.set_request(daemon.uplink.sent[0].request());
  failure.mutable_failure()->set_kind(wire::Failure::CONFIGURATION);
  failure.mutable_failure()->set_message("this key belongs to node 'a'");
  daemon.node.on_coordinator_message(failure);
  REQUIRE(daemon.node.refused());
  CHECK(daemon.node.refused()->message == "this key belongs to node 'a'");
}

TEST_CASE("node: a started worker gets its assignment when it says hello, with the node's hosts") {
  Daemon daemon;
  daemon.connect();
  daemon.start(Daemon::id());
  daemon.start(Daemon::id());  // the order came twice
  REQUIRE(daemon.host.spawned.size() == 1);
  daemon.worker_hello(Daemon::id());
  daemon.worker_hello(Daemon::id());
  const auto& told = daemon.host.told[Daemon::id()];
  REQUIRE(told.size() == 1);
  CHECK(told[0].start_worker().assignment().bind_host() == "0.0.0.0");
  CHECK(told[0].start_worker().assignment().advertise_host() == "node-1.example");
}

TEST_CASE("node: a worker that cannot be started is reported with the reason") {
  Daemon daemon;
  daemon.connect();
  daemon.host.refuse = true;
  daemon.start(Daemon::id());
  REQUIRE(daemon.events().size() == 1);
  CHECK(daemon.events()[0].failed().kind() == wire::Failure::RESOURCE);
  CHECK(daemon.events()[0].failed().message() == "cannot start a process");
  CHECK_FALSE(daemon.node.supervises(Daemon::id()));
}

TEST_CASE("node: Begin reaches the worker once, however often it is sent") {
  Daemon daemon;
  daemon.connect();
  daemon.start(Daemon::id());
  daemon.worker_hello(Daemon::id());
  wire::WorkerCommand begin;
  begin.mutable_begin();
  daemon.command(Daemon::id(), begin);
  daemon.command(Daemon::id(), begin);
  CHECK(daemon.host.told[Daemon::id()].size() == 2);
  wire::WorkerCommand ask;
  ask.mutable_export_()->set_directory("/out");
  daemon.command(Daemon::id(), ask);
  daemon.command(Daemon::id(1), ask);  // runs elsewhere
  CHECK(daemon.host.told[Daemon::id()].back().worker_command().export_().directory() == "/out");
  CHECK(daemon.host.told.size() == 1);
}

TEST_CASE("node: events are kept until they are stored, and sent again after a new welcome") {
  Daemon daemon;
  daemon.connect();
  daemon.start(Daemon::id());
  daemon.worker_hello(Daemon::id());
  daemon.worker_step(Daemon::id(), 1);
  daemon.worker_step(Daemon::id(), 2);
  REQUIRE(daemon.uplink.sent.size() == 2);
  wire::Envelope stored;
  stored.set_request(daemon.uplink.sent[0].request());
  stored.mutable_worker_event_stored();
  daemon.node.on_coordinator_message(stored);

  daemon.node.on_connection(false, "lost");
  daemon.worker_step(Daemon::id(), 3);
  CHECK(daemon.uplink.sent.size() == 2);
  daemon.connect();
  daemon.uplink.sent.clear();
  daemon.node.on_connection(true, {});
  daemon.welcome();
  const auto events = daemon.events();
  REQUIRE(events.size() == 2);
  CHECK(events[0].step().step() == 2);
  CHECK(events[1].step().step() == 3);
}

TEST_CASE("node: what the connection does not take now goes out at a later tick, in order") {
  Daemon daemon;
  daemon.connect();
  daemon.start(Daemon::id());
  daemon.uplink.full = true;
  daemon.worker_step(Daemon::id(), 1);
  daemon.uplink.full = false;
  daemon.worker_step(Daemon::id(), 2);
  daemon.pass(milliseconds(100));
  REQUIRE(daemon.events().size() == 2);
  CHECK(daemon.events()[0].step().step() == 1);
}

TEST_CASE("node: hello names workers that run, and those whose end is not stored yet") {
  Daemon daemon;
  daemon.connect();
  daemon.start(Daemon::id(0));
  daemon.worker_finished(Daemon::id(0));
  daemon.node.on_worker_exit(Daemon::id(0), {}, {});
  daemon.start(Daemon::id(1, 2));
  daemon.node.on_connection(true, {});
  REQUIRE(daemon.last_hello() != nullptr);
  REQUIRE(daemon.last_hello()->workers_size() == 2);
  CHECK(worker_id(daemon.last_hello()->workers(0)) == Daemon::id(0));
  wire::Envelope stored;
  stored.set_request(1);
  stored.mutable_worker_event_stored();
  daemon.node.on_coordinator_message(stored);
  daemon.node.on_connection(true, {});
  CHECK(daemon.last_hello()->workers_size() == 1);
}

TEST_CASE("node: a worker that dies is lost, with how it ended and what it said last") {
  Daemon daemon;
  daemon.connect();
  daemon.start(Daemon::id());
  daemon.worker_hello(Daemon::id());
  daemon.node.on_worker_exit(Daemon::id(), {true, SIGKILL}, "allocating 9 GB");
  CHECK(daemon.events().empty());  // its last words may still be on their way
  daemon.pass(milliseconds(600));
  REQUIRE(daemon.events().size() == 1);
  const auto failure = daemon.events()[0].failed();
  CHECK(failure.kind() == wire::Failure::LOST);
  CHECK(failure.first_hand());
  CHECK(failure.message() ==
        "the worker was killed by signal 9 (SIGKILL, perhaps out of memory): allocating 9 GB");
  CHECK_FALSE(daemon.node.supervises(Daemon::id()));
}

TEST_CASE("node: last words that come after the process is gone count") {
  Daemon daemon;
  daemon.connect();
  daemon.start(Daemon::id());
  daemon.worker_hello(Daemon::id());
  daemon.node.on_worker_exit(Daemon::id(), {false, 1}, {});
  wire::WorkerEvent failed;
  failed.mutable_failed()->set_kind(wire::Failure::NUMERIC);
  failed.mutable_failed()->set_first_hand(true);
  daemon.worker_says(Daemon::id(), failed);
  CHECK_FALSE(daemon.node.supervises(Daemon::id()));
  daemon.pass(milliseconds(600));
  REQUIRE(daemon.events().size() == 1);
  CHECK(daemon.events()[0].failed().kind() == wire::Failure::NUMERIC);
  CHECK_FALSE(daemon.events()[0].failed().first_hand());
}

TEST_CASE("node: a worker speaks for itself only") {
  Daemon daemon;
  daemon.connect();
  daemon.start(Daemon::id(0));
  wire::WorkerEvent event;
  event.set_job_id("job-9");
  event.set_stage(7);
  event.mutable_linked();
  daemon.worker_says(Daemon::id(0), event);
  REQUIRE(daemon.events().size() == 1);
  CHECK(worker_id(daemon.events()[0]) == Daemon::id(0));
}

TEST_CASE("node: a worker told to stop is reported as stopped, and killed after the deadline") {
  Daemon daemon;
  daemon.connect();
  daemon.start(Daemon::id());
  SUBCASE("before it said hello: by SIGTERM") {
    daemon.stop_worker(Daemon::id());
    REQUIRE(daemon.host.signals.size() == 1);
    CHECK(daemon.host.signals[0].second == SIGTERM);
  }
  SUBCASE("afterwards: by message") {
    daemon.worker_hello(Daemon::id());
    daemon.stop_worker(Daemon::id());
    CHECK(daemon.host.signals.empty());
    CHECK(daemon.host.told[Daemon::id()].back().worker_command().has_stop());
  }
  daemon.host.signals.clear();
  daemon.pass_in_touch(milliseconds(9900));
  CHECK(daemon.host.signals.empty());
  daemon.pass_in_touch(milliseconds(100));
  REQUIRE(daemon.host.signals.size() == 1);
  CHECK(daemon.host.signals[0].second == SIGKILL);
  daemon.node.on_worker_exit(Daemon::id(), {true, SIGKILL}, {});
  daemon.pass_in_touch(milliseconds(600));
  REQUIRE(daemon.events().size() == 1);
  CHECK(daemon.events()[0].failed().kind() == wire::Failure::CANCELLED);
}

TEST_CASE("node: a worker that finished but does not exit is killed, and still finished") {
  Daemon daemon;
  daemon.connect();
  daemon.start(Daemon::id());
  daemon.worker_hello(Daemon::id());
  daemon.worker_finished(Daemon::id());
  daemon.pass(milliseconds(10000));
  REQUIRE(daemon.host.signals.size() == 1);
  daemon.node.on_worker_exit(Daemon::id(), {true, SIGKILL}, {});
  daemon.pass(milliseconds(600));
  REQUIRE(daemon.events().size() == 1);
  CHECK(daemon.events()[0].has_finished());
}

TEST_CASE("node: a successor waits until the device's former worker is gone") {
  Daemon daemon;
  daemon.connect();
  daemon.start(Daemon::id(0, 1));
  daemon.worker_hello(Daemon::id(0, 1));
  daemon.worker_finished(Daemon::id(0, 1));
  daemon.start(Daemon::id(0, 2));
  CHECK(daemon.host.spawned.size() == 1);
  daemon.node.on_worker_exit(Daemon::id(0, 1), {}, {});
  REQUIRE(daemon.host.spawned.size() == 2);
  CHECK(daemon.host.spawned[1] == Daemon::id(0, 2));
}

TEST_CASE("node: a successor that is stopped while it waits never starts") {
  Daemon daemon;
  daemon.connect();
  daemon.start(Daemon::id(0, 1));
  daemon.start(Daemon::id(0, 2));
  daemon.stop_worker(Daemon::id(0, 2));
  CHECK(daemon.events().at(0).failed().kind() == wire::Failure::CANCELLED);
  daemon.worker_finished(Daemon::id(0, 1));
  daemon.node.on_worker_exit(Daemon::id(0, 1), {}, {});
  CHECK(daemon.host.spawned.size() == 1);
}

TEST_CASE("node: stopping ends the workers, reports them, then says goodbye") {
  Daemon daemon;
  daemon.connect();
  daemon.start(Daemon::id());
  daemon.worker_hello(Daemon::id());
  daemon.node.stop("stopped by SIGTERM");
  CHECK(daemon.host.told[Daemon::id()].back().worker_command().has_stop());
  CHECK_FALSE(daemon.node.stopped());
  daemon.start(Daemon::id(1, 2));  // refused now
  CHECK(daemon.events().at(0).failed().kind() == wire::Failure::LOST);
  daemon.node.on_worker_exit(Daemon::id(), {}, {});
  daemon.pass(milliseconds(600));
  CHECK(daemon.node.stopped());
  REQUIRE(daemon.uplink.sent.size() == 3);
  CHECK(daemon.events().at(1).failed().message() == "the node was stopped: stopped by SIGTERM");
  CHECK(daemon.uplink.sent[2].node_goodbye().reason() == "stopped by SIGTERM");
}

TEST_CASE("event queue: bounded; checkpoints give way first, then old steps, never an end") {
  EventQueue queue(3);
  wire::WorkerEvent checkpoint;
  checkpoint.mutable_checkpoint()->set_step(1);
  wire::WorkerEvent finished;
  finished.mutable_finished();
  const auto step = [](std::uint64_t number) {
    wire::WorkerEvent event;
    event.mutable_step()->set_step(number);
    return event;
  };
  CHECK(queue.push(step(1)) == 1);
  queue.push(checkpoint);
  queue.push(finished);
  queue.push(step(2));
  CHECK(queue.dropped() == 1);
  CHECK(queue.items()[1].event.has_finished());
  queue.push(step(3));
  CHECK(queue.items()[0].event.has_finished());
  CHECK(queue.items().size() == 3);
  queue.acknowledge(3);
  queue.acknowledge(3);
  queue.acknowledge(99);
  CHECK(queue.items().size() == 2);
  EventQueue ends(1);
  ends.push(finished);
  ends.push(finished);
  CHECK(ends.items().size() == 2);
  CHECK(ends.dropped() == 0);
}
