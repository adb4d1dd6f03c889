// The daemon's shell with shell scripts for workers, and a real control server for a coordinator.
#include "daemon/node/node_service.hpp"
#include "proto/channel/context.hpp"
#include "tests/unit/node/loop.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>

using namespace longhaul;
using namespace longhaul::daemon;

namespace {

// A node whose worker is the given script; the test plays the coordinator.
struct Site {
  explicit Site(const std::string& script) {
    auto pattern = (std::filesystem::temp_directory_path() / "longhaul-node-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()) != nullptr);
    folder = pattern;
    std::ofstream(folder / "worker") << "#!/bin/sh\n" << script << "\n";
    std::filesystem::permissions(folder / "worker", std::filesystem::perms::owner_all);
    auto opened = proto::ControlServer::open(
        context.zmq(), loop,
        {.bind = "ipc://" + (folder / "coordinator.sock").string(),
         .keys = server_keys,
         .allow = [this](const std::string& key) { return key == node_keys.public_key; },
         .on_message =
             [this](const proto::ControlPeer& from, wire::Envelope message) {
               peer = from;
               received.push_back(std::move(message));
             }});
    REQUIRE(opened.has_value());
    server = std::move(*opened);
    open();
  }
  ~Site() {
    service.reset();
    server.reset();
    std::filesystem::remove_all(folder);
  }

  NodeService::Options options() {
    NodeService::Options options;
    options.node.info.set_name("node-1");
    options.node.stop_deadline = milliseconds(300);
    options.coordinator = server->endpoint();
    options.coordinator_key = server_keys.public_key;
    options.keys = node_keys;
    options.worker = folder / "worker";
    options.state = folder / "state";
    options.log = [this](std::string line) { log.push_back(std::move(line)); };
    options.on_end = [this](proto::Result<void>) { ended = true; };
    return options;
  }
  void open() {
    auto opened = NodeService::open(context.zmq(), loop, options());
    REQUIRE(opened.has_value());
    service = std::move(*opened);
    REQUIRE(run_until(loop, [this] { return !received.empty(); }));
    REQUIRE(received[0].has_node_hello());
    wire::Envelope welcome;
    welcome.mutable_node_welcome()->set_heartbeat_interval_ms(60000);
    server->send(peer, welcome);
  }
  void start_worker() {
    wire::Envelope message;
    auto& assignment = *message.mutable_start_worker()->mutable_assignment();
    assignment.set_job_id("job-1");
    assignment.mutable_plan()->set_epoch(1);
    assignment.mutable_plan()->add_stages()->set_device("cpu");
    server->send(peer, message);
  }
  void stop_worker() {
    wire::Envelope message;
    message.mutable_worker_command()->set_job_id("job-1");
    message.mutable_worker_command()->set_epoch(1);
    message.mutable_worker_command()->mutable_stop();
    server->send(peer, message);
  }
  const wire::Failure* failure() const {
    for (const auto& message : received) {
      if (message.worker_event().has_failed()) return &message.worker_event().failed();
    }
    return nullptr;
  }
  bool has_logged(const std::string& text) const {
    for (const auto& line : log) {
      if (line.find(text) != std::string::npos) return true;
    }
    return false;
  }
  const wire::Failure& wait_for_failure() {
    REQUIRE(run_until(loop, [this] { return failure() != nullptr; }));
    return *failure();
  }

  proto::Context context;
  boost::asio::io_context loop;
  std::filesystem::path folder;
  proto::CurveKeyPair server_keys = proto::make_curve_key_pair();
  proto::CurveKeyPair node_keys = proto::make_curve_key_pair();
  std::unique_ptr<proto::ControlServer> server;
  std::unique_ptr<NodeService> service;
  proto::ControlPeer peer;
  std::vector<wire::Envelope> received;
  std::vector<std::string> log;
  bool ended = false;
};

}  // namespace

TEST_CASE("node service: a worker's exit status and last line reach the coordinator") {
  Site site("echo loading >&2; echo 'no space left on /scratch' >&2; exit 3");
  site.start_worker();
  const auto& failure = site.wait_for_failure();
  CHECK(failure.kind() == wire::Failure::LOST);
  CHECK(failure.message() == "the worker exited with status 3: no space left on /scratch");
  CHECK(site.has_logged("job-1 stage 0: loading"));
}

TEST_CASE("node service: a worker that is killed is reported with the signal") {
  Site site("kill -KILL $$");
  site.start_worker();
  CHECK(site.wait_for_failure().message() ==
        "the worker was killed by signal 9 (SIGKILL, perhaps out of memory)");
}

TEST_CASE("node service: the worker's bootstrap comes on standard input") {
  Site site("test \"$1\" = serve && cat > \"$(dirname \"$0\")/bootstrap\"; exit 4");
  site.start_worker();
  site.wait_for_failure();
  std::ifstream file(site.folder / "bootstrap");
  wire::WorkerBootstrap bootstrap;
  REQUIRE(bootstrap.ParseFromIstream(&file));
  CHECK(worker_id(bootstrap) == WorkerId{"job-1", 1, 0});
  CHECK(bootstrap.endpoint() == "ipc://" + (site.folder / "state" / "workers.sock").string());
  CHECK(proto::is_z85_key(bootstrap.secret_key()));
}

TEST_CASE("node service: a worker that ignores SIGTERM is killed after the deadline") {
  Site site("trap '' TERM; echo ready >&2; while :; do sleep 1000; done");
  site.start_worker();
  REQUIRE(run_until(site.loop, [&] { return site.has_logged("ready"); }));
  site.stop_worker();
  CHECK(site.wait_for_failure().kind() == wire::Failure::CANCELLED);
  CHECK(site.has_logged("still there after its deadline, killed"));
}

TEST_CASE("node service: stopping ends workers, says goodbye and ends") {
  Site site("echo ready >&2; exec sleep 1000");
  site.start_worker();
  REQUIRE(run_until(site.loop, [&] { return site.has_logged("ready"); }));
  site.service->stop("stopped by SIGTERM");
  REQUIRE(run_until(site.loop, [&] { return site.ended; }));
  REQUIRE(run_until(site.loop, [&] { return site.received.back().has_node_goodbye(); }));
  CHECK(site.failure()->message() == "the node was stopped: stopped by SIGTERM");
}

TEST_CASE("node service: a second daemon on the same state folder is refused") {
  Site site("exit 0");
  const auto second = NodeService::open(site.context.zmq(), site.loop, site.options());
  REQUIRE_FALSE(second.has_value());
  CHECK(second.error().kind == proto::ErrorKind::kResource);
  CHECK(second.error().message.starts_with("another longhaul-compnode uses"));
}

TEST_CASE("node service: a worker program that cannot run is the user's to correct") {
  Site site("exit 0");
  std::filesystem::remove(site.folder / "worker");
  site.start_worker();
  CHECK(site.wait_for_failure().kind() == wire::Failure::CONFIGURATION);
}
