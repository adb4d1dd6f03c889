// A worker's process among peers that hold a valid key and break the rules: it says what was wrong
// with which tensor, takes no step with it, and leaves in good order.
#include "compression/codec.hpp"
#include "compression/rung.hpp"
#include "daemon/host/child_process.hpp"
#include "proto/channel/control_channel.hpp"
#include "tests/unit/channel/loopback.hpp"
#include "tests/unit/channel/tensor_peers.hpp"
#include "tests/unit/sample_graphs.hpp"

#include <doctest/doctest.h>

#include <unistd.h>

#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace longhaul::proto {
namespace {

using test::RawWorker;
using test::run_until;
using Header = wire::TensorHeader;

constexpr std::uint64_t kValues = 2 * 4 * 64;  // of a boundary tensor
const std::string kNamed = "step 1, micro-batch 0, tensor 'embed': ";

// embed | head: the worker has the first, the peer says it has the second.
Graph two_operators() {
  tests::GraphBuilder builder;
  builder.parameter("table", {17, 64});
  builder.parameter("out", {17, 64});
  builder.add("embed", "embedding", {"tokens"}, {"table"});
  builder.add("head", "linear", {"embed"}, {"out"});
  builder.loss("head");
  return Graph::from_wire(builder.message).value();
}

wire::Job job_on(const std::string& tokens) {
  wire::Job job;
  job.set_name("bad-peer");
  job.mutable_model()->set_graph("/nowhere/graph.json");
  job.mutable_data()->add_train(tokens);
  job.mutable_data()->set_token_bits(16);
  job.mutable_data()->set_sequence_length(4);
  wire::Training& training = *job.mutable_training();
  training.set_steps(3);
  training.set_batch(8);
  training.set_micro_batch(2);
  training.mutable_optimizer()->set_name("adamw");
  training.mutable_optimizer()->set_learning_rate(1e-3);
  training.mutable_optimizer()->set_beta1(0.9);
  training.mutable_optimizer()->set_beta2(0.95);
  training.mutable_optimizer()->set_epsilon(1e-8);
  training.mutable_schedule()->set_decay("constant");
  training.mutable_schedule()->set_final(1.0);
  training.set_precision("fp32");
  job.mutable_pipeline()->set_schedule("1f1b");
  job.set_compression("dense");
  return job;
}

// The node of a worker of stage 0, and its only peer, by hand.
class Scene {
 public:
  Scene() {
    folder_ = std::filesystem::temp_directory_path() /
              ("longhaul-bad-peer-" + std::to_string(getpid()) + "-" + std::to_string(++scenes()));
    std::filesystem::create_directories(folder_);
    server_ = ControlServer::open(
                  context_, loop_,
                  {.bind = "tcp://127.0.0.1:*",
                   .keys = keys_,
                   .allow = [](const std::string&) { return true; },
                   .on_message = [this](const ControlPeer& from,
                                        wire::Envelope message) { on(from, std::move(message)); }})
                  .value();
    start();
    REQUIRE(run_until(loop_, [this] { return ready_.has_value() || failed_.has_value(); }));
    REQUIRE(ready_.has_value());
    begin();
  }
  ~Scene() { std::filesystem::remove_all(folder_); }
  Scene(const Scene&) = delete;
  Scene& operator=(const Scene&) = delete;

  RawWorker& raw() { return *raw_; }

  // The gradient of "embed" in micro-batch 0 of the first step: right in every field.
  Header gradient() {
    Header header = raw_->next(Header::GRADIENT);
    header.set_name("embed");
    header.set_codec(static_cast<std::uint32_t>(compression::Codec::kDenseFp32));
    header.set_rung(compression::pack(compression::Rung()));
    for (const int extent : {2, 4, 64}) header.add_shape(extent);
    return header;
  }

  void check_refused(const std::string& message) {
    REQUIRE(run_until(loop_, [this] { return failed_.has_value(); }));
    CHECK(failed_->message() == message);
    CHECK(failed_->kind() == wire::Failure::INTERNAL);
    CHECK(steps_ == 0);
    REQUIRE(run_until(loop_, [this] { return exit_.has_value(); }));
    CHECK(*exit_ == daemon::ProcessExit{.signalled = false, .code = 1});
  }

 private:
  static int& scenes() {
    static int count = 0;
    return count;
  }

  void start() {
    wire::WorkerBootstrap bootstrap;
    bootstrap.set_endpoint(server_->endpoint());
    bootstrap.set_server_key(keys_.public_key);
    const CurveKeyPair own = make_curve_key_pair();
    bootstrap.set_public_key(own.public_key);
    bootstrap.set_secret_key(own.secret_key);
    bootstrap.set_job_id("bad-peer");
    bootstrap.set_epoch(test::kEpoch.value);
    child_ = daemon::ChildProcess::start(
                 loop_, {.program = LONGHAUL_WORKER,
                         .arguments = {"serve"},
                         .input = bootstrap.SerializeAsString(),
                         .on_exit = [this](daemon::ProcessExit how) { exit_ = how; }})
                 .value();
  }

  wire::Assignment assignment() const {
    const std::string tokens = folder_ / "tokens.bin";
    std::vector<std::uint16_t> ids(4000);
    for (std::size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<std::uint16_t>(i * i % 17);
    std::ofstream(tokens, std::ios::binary)
        .write(reinterpret_cast<const char*>(ids.data()),
               static_cast<std::streamsize>(2 * ids.size()));
    const Graph graph = two_operators();
    Plan plan = tests::plan_cut_after(graph, {"embed"});
    plan.epoch = test::kEpoch;
    wire::Assignment assignment;
    assignment.set_job_id("bad-peer");
    *assignment.mutable_job() = job_on(tokens);
    *assignment.mutable_graph() = graph.to_wire();
    *assignment.mutable_plan() = plan.to_wire(graph);
    return assignment;
  }

  void on(const ControlPeer& from, wire::Envelope message) {
    worker_ = from;
    if (message.has_worker_hello()) {
      wire::Envelope start;
      *start.mutable_start_worker()->mutable_assignment() = assignment();
      server_->send(from, start);
    }
    if (!message.has_worker_event()) return;
    wire::WorkerEvent& event = *message.mutable_worker_event();
    if (event.has_ready()) ready_ = event.ready();
    if (event.has_linked()) linked_ = true;
    if (event.has_step()) ++steps_;
    if (event.has_failed()) failed_ = event.failed();
  }

  // The peer's key is announced, and the peer dials until the worker has heard of it.
  void begin() {
    const CurveKeyPair peer = make_curve_key_pair();
    wire::Envelope envelope;
    wire::WorkerCommand& command = *envelope.mutable_worker_command();
    command.set_job_id("bad-peer");
    command.set_epoch(test::kEpoch.value);
    for (std::uint32_t stage = 0; stage < 2; ++stage) {
      wire::Peer& named = *command.mutable_begin()->add_peers();
      named.set_stage(stage);
      named.set_endpoint(ready_->endpoint());
      named.set_public_key(stage == 0 ? ready_->public_key() : peer.public_key);
    }
    server_->send(worker_, envelope);
    constexpr std::chrono::milliseconds kPatience{500};
    for (int attempt = 0; attempt < 40 && !linked_; ++attempt) {
      raw_ =
          std::make_unique<RawWorker>(context_, ready_->endpoint(), ready_->public_key(), peer, 1);
      raw_->introduce();
      run_until(
          loop_, [this] { return linked_; }, kPatience);
    }
    REQUIRE(linked_);
  }

  boost::asio::io_context loop_;
  zmq::context_t context_;
  CurveKeyPair keys_ = make_curve_key_pair();
  std::filesystem::path folder_;
  std::optional<daemon::ProcessExit> exit_;
  ControlPeer worker_;
  std::optional<wire::WorkerReady> ready_;
  std::optional<wire::Failure> failed_;
  bool linked_ = false;
  int steps_ = 0;
  std::unique_ptr<ControlServer> server_;
  std::unique_ptr<RawWorker> raw_;
  std::unique_ptr<daemon::ChildProcess> child_;
};

std::string payload(float value, std::size_t values = kValues) {
  std::string bytes(4 * values, '\0');
  for (std::size_t i = 0; i < values; ++i) std::memcpy(bytes.data() + 4 * i, &value, 4);
  return bytes;
}

TEST_CASE("worker: a frame that lies about its sizes ends it with link, step and tensor") {
  Scene scene;
  const Header header = scene.gradient();
  SUBCASE("of the tensor") {
    scene.raw().send(header, payload(0.0F, kValues - 1));
    scene.check_refused("link from stage 1 to stage 0, " + kNamed +
                        "dense payload has 2044 bytes, which are not 512 elements of 4 bytes");
  }
  SUBCASE("of the piece") {
    const std::string bytes = payload(0.0F);
    auto piece = RawWorker::piece(header, bytes, 0, bytes.size());
    piece.set_payload_bytes(100);
    scene.raw().send_piece(piece, bytes);
    scene.check_refused("link to stage 1: stage 1, " + kNamed +
                        "a piece of 2048 bytes at 0 in a payload of 100");
  }
}

TEST_CASE("worker: an unknown rung ends it with link, step and tensor") {
  Scene scene;
  Header header = scene.gradient();
  header.set_rung(12345);
  scene.raw().send(header, payload(0.0F));
  scene.check_refused("link from stage 1 to stage 0, " + kNamed + "12345 is no rung: format 0");
}

TEST_CASE("worker: a message of another epoch ends it with link, step and tensor") {
  Scene scene;
  Header header = scene.gradient();
  header.set_epoch(6);
  scene.raw().send(header, payload(0.0F));
  scene.check_refused("link to stage 1: stage 1, " + kNamed +
                      "it is of epoch 6 of the plan, this stage is at epoch 7");
}

TEST_CASE("worker: a replayed message ends it with link, step and tensor") {
  Scene scene;
  const Header header = scene.gradient();
  scene.raw().send(header, payload(0.0F));
  scene.raw().send(header, payload(1.0F));
  scene.check_refused("link to stage 1: stage 1, " + kNamed + "was received before");
}

TEST_CASE("worker: NaN and infinity end it with link, step and tensor") {
  Scene scene;
  std::string bytes = payload(0.0F);
  const float bad = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(bytes.data() + 4 * (64 + 3), &bad, 4);
  scene.raw().send(scene.gradient(), bytes);
  scene.check_refused("link from stage 1 to stage 0, " + kNamed +
                      "the value at row 1, column 3 is not a number");
}

}  // namespace
}  // namespace longhaul::proto
