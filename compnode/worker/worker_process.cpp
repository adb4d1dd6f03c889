// The loop thread owns sockets and state; one device thread prepares and trains.
#include "compnode/worker/worker_process.hpp"

#include "compnode/worker/failure.hpp"
#include "compnode/worker/preparation.hpp"
#include "compnode/worker/stage_links.hpp"
#include "compnode/worker/training_loop.hpp"
#include "proto/channel/context.hpp"
#include "proto/channel/control_channel.hpp"
#include "proto/channel/tensor_channel.hpp"
#include "proto/failure.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/thread_pool.hpp>

#include <chrono>
#include <csignal>
#include <deque>
#include <iostream>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <utility>

namespace longhaul::compnode {
namespace {

using proto::Error;
using proto::ErrorKind;
using proto::StageIndex;

constexpr std::chrono::seconds kFarewellPatience{5};

class WorkerProcess {
 public:
  explicit WorkerProcess(wire::WorkerBootstrap bootstrap) : bootstrap_(std::move(bootstrap)) {}

  int run();

 private:
  void on_control(wire::Envelope envelope);
  void on_connection(bool connected);
  void assign(const wire::Assignment& assignment);
  void on_prepared();
  void begin(const wire::Begin& begin);
  void on_linked(StageIndex peer);
  void train();
  std::optional<std::string> next_export_request();  // device thread
  void on_tensor(wire::TensorHeader header, proto::Payload payload);
  void on_link_error(StageIndex peer, const Error& error);
  void lose(StageIndex peer, const Error& error);

  void send_event(wire::WorkerEvent event);  // loop thread
  void fail(const Error& error);             // loop thread
  void leave(int exit_code);                 // loop thread

  // Runs on the device thread; what it throws fails the worker.
  void on_device(std::function<void()> task);

  wire::WorkerBootstrap bootstrap_;
  boost::asio::io_context loop_;
  proto::Context context_;
  boost::asio::signal_set signals_{loop_, SIGTERM, SIGINT};
  std::unique_ptr<proto::ControlClient> control_;
  std::unique_ptr<proto::TensorChannel> channel_;
  proto::CurveKeyPair tensor_keys_ = proto::make_curve_key_pair();
  std::unique_ptr<PreparedStage> stage_;
  std::unique_ptr<StageLinks> links_;
  std::set<StageIndex> unlinked_;
  std::mutex export_mutex_;
  std::deque<std::string> export_requests_;  // in the order in which they came
  bool assigned_ = false;
  bool begun_ = false;
  bool over_ = false;  // finished or failed: later errors are consequences
  int exit_code_ = 1;
  boost::asio::thread_pool device_{1};
};

int WorkerProcess::run() {
  auto opened = proto::ControlClient::open(
      context_.zmq(), loop_,
      {.endpoint = bootstrap_.endpoint(),
       .server_key = bootstrap_.server_key(),
       .keys = {bootstrap_.public_key(), bootstrap_.secret_key()},
       .on_message = [this](wire::Envelope envelope) { on_control(std::move(envelope)); },
       .on_connection = [this](bool connected, const std::string&) { on_connection(connected); }});
  if (!opened) throw proto::Failed(opened.error());
  control_ = std::move(*opened);
  signals_.async_wait([this](const boost::system::error_code& error, int) {
    if (!error) leave(0);
  });
  loop_.run();
  if (links_) links_->close({ErrorKind::kCancelled, "the worker was stopped"});
  device_.join();
  channel_.reset();
  control_.reset();
  return exit_code_;
}

void WorkerProcess::on_connection(bool connected) {
  if (!connected || assigned_) return;
  wire::Envelope envelope;
  envelope.mutable_worker_hello()->set_job_id(bootstrap_.job_id());
  envelope.mutable_worker_hello()->set_epoch(bootstrap_.epoch());
  envelope.mutable_worker_hello()->set_stage(bootstrap_.stage());
  control_->send(envelope);
}

void WorkerProcess::on_control(wire::Envelope envelope) {
  if (envelope.has_start_worker() && !assigned_) {
    assigned_ = true;
    assign(envelope.start_worker().assignment());
    return;
  }
  if (!envelope.has_worker_command() || envelope.worker_command().epoch() != bootstrap_.epoch())
    return;
  const wire::WorkerCommand& command = envelope.worker_command();
  if (command.has_begin() && stage_ && !std::exchange(begun_, true)) begin(command.begin());
  if (command.has_stop()) leave(0);
  if (command.has_export_()) {
    const std::lock_guard lock(export_mutex_);
    export_requests_.push_back(command.export_().directory());
  }
}

void WorkerProcess::on_device(std::function<void()> task) {
  boost::asio::post(device_, [this, task = std::move(task)] {
    try {
      task();
    } catch (...) {
      boost::asio::post(loop_, [this, error = error_of(std::current_exception())] { fail(error); });
    }
  });
}

void WorkerProcess::assign(const wire::Assignment& assignment) {
  const StageIndex self{assignment.stage()};
  auto opened = proto::TensorChannel::open(
      context_.zmq(), loop_,
      {.bind_host = assignment.bind_host().empty() ? "127.0.0.1" : assignment.bind_host(),
       .advertise_host = assignment.advertise_host(),
       .self = self,
       .epoch = proto::PlanEpoch{assignment.plan().epoch()},
       .keys = tensor_keys_,
       .on_message =
           [this](wire::TensorHeader header, proto::Payload payload) {
             on_tensor(std::move(header), std::move(payload));
           },
       .on_linked = [this](StageIndex peer) { on_linked(peer); },
       .on_error = [this](StageIndex peer, const Error& error) { on_link_error(peer, error); },
       .on_state =
           [this](StageIndex peer, const proto::LinkState& state) {
             if (links_) links_->control().on_state(peer, state);
           }});
  if (!opened) return fail(opened.error());
  channel_ = std::move(*opened);
  on_device([this, assignment] {
    if (assignment.stage() < static_cast<std::uint32_t>(assignment.plan().stages_size())) {
      const std::uint32_t threads =
          assignment.plan().stages(static_cast<int>(assignment.stage())).threads();
      set_compute_threads(static_cast<int>(std::max<std::uint32_t>(1, threads)));
    }
    auto prepared = prepare(assignment).value();
    boost::asio::post(loop_, [this, stage = std::move(prepared)]() mutable {
      stage_ = std::move(stage);
      on_prepared();
    });
  });
}

void WorkerProcess::on_prepared() {
  const wire::Job& job = stage_->job;
  StageLinks::Options options{
      .self = stage_->stage,
      .device = stage_->device,
      .precision = stage_->precision,
      .shapes = stage_->shapes,
      .compression = {.self = stage_->stage,
                      .setting = stage_->compression,
                      .from_scratch = job.model().from().empty(),
                      .steps = job.training().steps(),
                      .anneal = job.anneal(),
                      .activation_bytes =
                          stage_->precision == at::kFloat ? std::size_t{4} : std::size_t{2}},
      .seed = job.training().seed()};
  options.send = [this](StageIndex to, wire::TensorHeader header, proto::Payload payload) {
    boost::asio::post(
        loop_, [this, to, header = std::move(header), payload = std::move(payload)]() mutable {
          channel_->send(to, std::move(header), std::move(payload));
        });
  };
  options.used = [this](StageIndex from, std::uint64_t payload_bytes) {
    boost::asio::post(loop_, [this, from, payload_bytes] { channel_->used(from, payload_bytes); });
  };
  links_ = std::make_unique<StageLinks>(stage_->graph, stage_->plan, std::move(options));
  wire::WorkerEvent event;
  event.mutable_ready()->set_endpoint(channel_->endpoint());
  event.mutable_ready()->set_public_key(tensor_keys_.public_key);
  event.mutable_ready()->set_first_step(stage_->first_step);
  for (const std::string& note : stage_->notes) event.mutable_ready()->add_notes(note);
  send_event(std::move(event));
}

void WorkerProcess::begin(const wire::Begin& begin) {
  for (const wire::Peer& peer : begin.peers()) {
    if (StageIndex{peer.stage()} != stage_->stage) unlinked_.insert(StageIndex{peer.stage()});
  }
  const auto named = static_cast<std::size_t>(begin.peers_size());
  if (unlinked_.size() + 1 != stage_->plan.stages.size() || named > stage_->plan.stages.size()) {
    return fail({ErrorKind::kInternal, "the coordinator named other peers than the plan has"});
  }
  if (unlinked_.empty()) return train();
  for (const wire::Peer& peer : begin.peers()) {
    const StageIndex other{peer.stage()};
    if (other == stage_->stage) continue;
    if (other > stage_->stage) {  // the later stage dials
      channel_->accept(other, peer.public_key());
    } else if (auto dialled = channel_->dial(other, peer.endpoint(), peer.public_key()); !dialled) {
      return fail(dialled.error());
    }
  }
}

void WorkerProcess::on_linked(StageIndex peer) {
  if (unlinked_.erase(peer) > 0 && unlinked_.empty()) train();
}

void WorkerProcess::train() {
  wire::WorkerEvent linked;
  linked.mutable_linked();
  send_event(std::move(linked));
  on_device([this] {
    TrainingLoop loop(*stage_, *links_,
                      {.report =
                           [this](wire::WorkerEvent event) {
                             boost::asio::post(loop_, [this, event = std::move(event)]() mutable {
                               send_event(std::move(event));
                             });
                           },
                       .export_request = [this] { return next_export_request(); }});
    loop.run();
    boost::asio::post(loop_, [this] {
      // The others' last words are here, but ours may not be there yet.
      channel_->when_acknowledged(kFarewellPatience, [this] { leave(0); });
    });
  });
}

// Of one step. A second one waits for the next step: whoever asked for it waits too.
std::optional<std::string> WorkerProcess::next_export_request() {
  const std::lock_guard lock(export_mutex_);
  if (export_requests_.empty()) return std::nullopt;
  auto request = std::move(export_requests_.front());
  export_requests_.pop_front();
  return request;
}

void WorkerProcess::on_tensor(wire::TensorHeader header, proto::Payload payload) {
  if (!links_) return;  // nobody is linked before the stage is prepared
  const StageIndex from{header.from_stage()};
  if (auto delivered = links_->deliver(std::move(header), std::move(payload)); !delivered) {
    lose(from, delivered.error());  // which names the link
  }
}

void WorkerProcess::on_link_error(StageIndex peer, const Error& error) {
  lose(peer, proto::with_context("link to stage " + std::to_string(peer.value), error));
}

void WorkerProcess::lose(StageIndex peer, const Error& error) {
  if (over_) return;
  if (links_) links_->lose(peer, error);  // the device thread fails with it, once it needs the link
  if (!links_ || !unlinked_.empty()) fail(error);
}

void WorkerProcess::send_event(wire::WorkerEvent event) {
  if (over_) return;
  event.set_job_id(bootstrap_.job_id());
  event.set_epoch(bootstrap_.epoch());
  event.set_stage(bootstrap_.stage());
  if (event.has_finished() || event.has_failed()) over_ = true;
  wire::Envelope envelope;
  *envelope.mutable_worker_event() = std::move(event);
  control_->send(envelope);
}

void WorkerProcess::fail(const Error& error) {
  if (over_) return;
  wire::WorkerEvent event;
  *event.mutable_failed() = proto::to_failure(error);
  send_event(std::move(event));
  leave(error.kind == ErrorKind::kConfiguration ? 2 : 1);
}

void WorkerProcess::leave(int exit_code) {
  // Nothing of ours is missing anywhere: the training loop ends with a barrier of all stages, what
  // was sent is acknowledged, and closing the sockets waits for the last control messages.
  exit_code_ = exit_code;
  over_ = true;
  loop_.stop();
}

}  // namespace

int serve() {
  const std::string bytes{std::istreambuf_iterator<char>(std::cin), {}};
  wire::WorkerBootstrap bootstrap;
  if (bytes.empty() || !bootstrap.ParseFromString(bytes)) {
    std::cerr
        << "longhaul-worker serve is started by longhaul-compnode, which says on standard input "
           "whom to serve; to train on this machine, use `longhaul run JOB.yaml --nodes N`\n";
    return 2;
  }
  return WorkerProcess(std::move(bootstrap)).run();
}

}  // namespace longhaul::compnode
