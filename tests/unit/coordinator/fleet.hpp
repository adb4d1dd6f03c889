// A coordinator on a fake clock, network and store, with nodes and an operator played by the test.
#pragma once

#include "daemon/coordinator/coordinator.hpp"

#include <fmt/format.h>

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace longhaul::daemon {

struct FakeClock final : Clock {
  TimePoint time{std::chrono::hours(1)};
  [[nodiscard]] TimePoint now() const override { return time; }
  [[nodiscard]] std::uint64_t unix_ms() const override {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<milliseconds>(time.time_since_epoch()).count());
  }
};

struct FakeNetwork final : Network {
  std::map<std::string, std::vector<wire::Envelope>> received;  // by connection
  std::set<std::string> broken;                                 // connections that take nothing
  bool send(const proto::ControlPeer& to, const wire::Envelope& message) override {
    if (broken.contains(to.connection)) return false;
    received[to.connection].push_back(message);
    return true;
  }
};

// What SqliteStore does, in memory.
struct FakeStore final : Store {
  StoredState state;
  std::map<std::string, std::vector<wire::JobEvent>> job_events;
  bool full = false;
  int commits = 0;

  proto::Result<void> commit(const Transition& change) override {
    if (full) return proto::Error{proto::ErrorKind::kResource, "disk full"};
    ++commits;
    if (change.epoch) state.epoch = *change.epoch;
    for (const auto& assignment : change.new_jobs) state.jobs.push_back({assignment, {}});
    for (const auto& [id, record] : change.jobs) {
      for (auto& job : state.jobs) {
        if (job.assignment.job_id() == id) job.record = record;
      }
    }
    for (const auto& [id, event] : change.events) job_events[id].push_back(event);
    for (const auto& node : change.nodes) {
      std::erase_if(state.nodes,
                    [&](const auto& old) { return old.info().name() == node.info().name(); });
      state.nodes.push_back(node);
    }
    for (const auto& id : change.forgotten_jobs) {
      std::erase_if(state.jobs, [&](const auto& job) { return job.assignment.job_id() == id; });
      job_events.erase(id);
    }
    return {};
  }
  proto::Result<std::vector<wire::JobEvent>> events(const std::string& id,
                                                    std::uint64_t from) override {
    std::vector<wire::JobEvent> found;
    for (const auto& event : job_events[id]) {
      if (event.index() >= from) found.push_back(event);
    }
    return found;
  }
};

// Six operators, so that up to six nodes can share it.
inline wire::SubmitJob make_submission(std::uint32_t nodes) {
  wire::SubmitJob submission;
  submission.set_nodes(nodes);
  auto& job = *submission.mutable_job();
  job.set_name("tiny");
  job.mutable_model()->set_graph("/jobs/tiny.json");
  job.mutable_data()->add_train("/jobs/tiny.bin");
  job.mutable_data()->set_token_bits(16);
  job.mutable_data()->set_sequence_length(8);
  job.mutable_data()->set_cache("/jobs/cache");
  auto& training = *job.mutable_training();
  training.set_steps(3);
  training.set_batch(4);
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

  auto& graph = *submission.mutable_graph();
  graph.set_name("tiny");
  graph.set_loss("loss");
  graph.set_logits("logits");
  const auto data = [&](const char* name, wire::DataInput::Kind kind) {
    auto& input = *graph.add_data_inputs();
    input.set_name(name);
    input.set_kind(kind);
  };
  data("tokens", wire::DataInput::TOKENS);
  data("targets", wire::DataInput::TARGETS);
  const auto add = [&](const char* id, const char* kind, std::vector<std::string> inputs,
                       std::vector<std::int64_t> weight) {
    auto& op = *graph.add_operators();
    op.set_id(id);
    op.set_kind(kind);
    for (auto& input : inputs) op.add_inputs(std::move(input));
    if (weight.empty()) return;
    auto& parameter = *graph.add_parameters();
    parameter.set_name(fmt::format("{}.weight", id));
    for (const auto extent : weight) parameter.add_shape(extent);
    op.add_parameters(parameter.name());
  };
  add("embed", "embedding", {"tokens"}, {16, 8});
  add("a", "linear", {"embed"}, {8, 8});
  add("b", "linear", {"a"}, {8, 8});
  add("c", "linear", {"b"}, {8, 8});
  add("logits", "linear", {"c"}, {16, 8});
  add("loss", "cross_entropy", {"logits", "targets"}, {});
  return submission;
}

class Fleet {
 public:
  explicit Fleet(int nodes, Coordinator::Options options = {}) : options_(std::move(options)) {
    options_.access.operators.insert("operator-key");
    for (int i = 1; i <= nodes; ++i) {
      options_.access.nodes.emplace(key(name(i)), name(i));
    }
    restart();
  }

  static std::string name(int i) { return fmt::format("node-{}", i); }
  static std::string key(const std::string& node) { return node + "-key"; }

  // The coordinator ends without a word and starts again from the store.
  void restart() {
    coordinator.reset();
    coordinator = std::make_unique<Coordinator>(options_, clock, network, store, store.state);
  }

  void say(const std::string& node, wire::Envelope message) {
    coordinator->on_message({connections_[node], key(node)}, std::move(message));
  }
  std::vector<wire::Envelope> ask(wire::Envelope message) {
    message.set_request(++request_);
    coordinator->on_message(operator_peer(), std::move(message));
    return replies(request_);
  }
  [[nodiscard]] std::uint64_t last_request() const { return request_; }
  std::vector<wire::Envelope> replies(std::uint64_t request) {
    std::vector<wire::Envelope> found;
    for (const auto& message : network.received["operator"]) {
      if (message.request() == request) found.push_back(message);
    }
    return found;
  }
  static proto::ControlPeer operator_peer() { return {"operator", "operator-key"}; }

  // A new connection, on which it introduces itself.
  void hello(const std::string& node, const std::vector<WorkerId>& workers = {},
             std::uint64_t memory = 1u << 30) {
    connections_[node] = fmt::format("{}#{}", node, ++connection_);
    wire::Envelope message;
    message.set_request(7);
    auto& info = *message.mutable_node_hello()->mutable_info();
    info.set_name(node);
    info.set_host("127.0.0.1");
    auto& device = *info.add_devices();
    device.set_name("cpu");
    device.set_memory_bytes(memory);
    device.set_threads(1);
    device.set_description(descriptions[node]);
    device.set_cpu_share(cpu_shares[node]);
    for (const auto& id : workers) set_worker_id(*message.mutable_node_hello()->add_workers(), id);
    say(node, std::move(message));
  }
  void hello_all() {
    for (const auto& [key, node] : options_.access.nodes) hello(node);
  }
  [[nodiscard]] const std::string& connection(const std::string& node) {
    return connections_[node];
  }

  // What the node got on its present connection.
  std::vector<wire::Envelope>& inbox(const std::string& node) {
    return network.received[connections_[node]];
  }
  std::vector<wire::WorkerCommand> commands(const std::string& node) {
    std::vector<wire::WorkerCommand> found;
    for (const auto& message : inbox(node)) {
      if (message.has_worker_command()) found.push_back(message.worker_command());
    }
    return found;
  }
  std::vector<wire::Assignment> started(const std::string& node) {
    std::vector<wire::Assignment> found;
    for (const auto& message : inbox(node)) {
      if (message.has_start_worker()) found.push_back(message.start_worker().assignment());
    }
    return found;
  }

  // Submits and returns the job's id, or the refusal's text.
  std::string submit(std::uint32_t nodes) { return submit(make_submission(nodes)); }
  std::string submit(wire::SubmitJob submission) {
    wire::Envelope message;
    *message.mutable_submit_job() = std::move(submission);
    const auto replies = ask(std::move(message));
    if (replies.size() != 1) return "no reply";
    return replies[0].has_accepted() ? replies[0].accepted().job_id()
                                     : replies[0].failure().message();
  }
  wire::JobStatus job(const std::string& id) {
    wire::Envelope message;
    message.mutable_show_job()->set_job_id(id);
    return ask(std::move(message)).at(0).job_status();
  }
  wire::NodeStatus node(const std::string& name) {
    wire::Envelope message;
    message.mutable_show_node()->set_name(name);
    return ask(std::move(message)).at(0).node_status();
  }
  void cancel(const std::string& id) {
    wire::Envelope message;
    message.mutable_cancel_job()->set_job_id(id);
    ask(std::move(message));
  }

  // An event of stage `stage` of the newest job, which runs on node-(stage + 1).
  void event(std::uint32_t stage, wire::WorkerEvent event, std::uint64_t number = 1) {
    event.set_job_id(fmt::format("job-{}", store.state.epoch));
    if (event.epoch() == 0) event.set_epoch(store.state.epoch);
    event.set_stage(stage);
    wire::Envelope message;
    message.set_request(number);
    *message.mutable_worker_event() = std::move(event);
    say(name(static_cast<int>(stage) + 1), std::move(message));
  }
  void ready(std::uint32_t stage, std::uint64_t first_step = 0) {
    wire::WorkerEvent ready;
    ready.mutable_ready()->set_endpoint(fmt::format("tcp://127.0.0.1:{}", 5000 + stage));
    ready.mutable_ready()->set_public_key(fmt::format("worker-{}", stage));
    ready.mutable_ready()->set_first_step(first_step);
    event(stage, std::move(ready));
  }
  void linked(std::uint32_t stage) {
    wire::WorkerEvent linked;
    linked.mutable_linked();
    event(stage, std::move(linked));
  }
  void step(std::uint32_t stage, std::uint64_t step) {
    wire::WorkerEvent report;
    report.mutable_step()->set_step(step);
    report.mutable_step()->set_loss(5.0 - static_cast<double>(step));
    report.mutable_step()->set_tokens(32);
    report.mutable_step()->set_step_time_s(0.5);
    report.mutable_step()->mutable_stage()->add_links()->set_bytes_sent(100 * step);
    event(stage, std::move(report));
  }
  void finished(std::uint32_t stage) {
    wire::WorkerEvent finished;
    finished.mutable_finished()->mutable_stage()->set_parameters(10);
    event(stage, std::move(finished));
  }
  void failed(std::uint32_t stage, wire::Failure::Kind kind, const std::string& message,
              bool first_hand = false) {
    wire::WorkerEvent failed;
    failed.mutable_failed()->set_kind(kind);
    failed.mutable_failed()->set_message(message);
    failed.mutable_failed()->set_first_hand(first_hand);
    event(stage, std::move(failed));
  }
  // All stages ready and linked.
  void begin(std::uint32_t stages) {
    for (std::uint32_t i = 0; i < stages; ++i) ready(i);
    for (std::uint32_t i = 0; i < stages; ++i) linked(i);
  }
  void pass(milliseconds duration) {
    clock.time += duration;
    coordinator->on_tick(clock.time);
  }
  // Heartbeats and ticks for the time, as a live fleet has them.
  void live(milliseconds duration, const std::set<std::string>& nodes) {
    for (auto left = duration; left > milliseconds(0); left -= milliseconds(500)) {
      for (const auto& node : nodes) {
        wire::Envelope heartbeat;
        heartbeat.mutable_heartbeat();
        say(node, std::move(heartbeat));
      }
      pass(milliseconds(500));
    }
  }

  FakeClock clock;
  FakeNetwork network;
  FakeStore store;
  std::unique_ptr<Coordinator> coordinator;
  // Of the nodes' cpus, for their next hello.
  std::map<std::string, std::string> descriptions;
  std::map<std::string, double> cpu_shares;

 private:
  Coordinator::Options options_;
  std::map<std::string, std::string> connections_;
  int connection_ = 0;
  std::uint64_t request_ = 0;
};

}  // namespace longhaul::daemon
