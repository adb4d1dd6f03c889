// A worker that speaks the protocol and computes nothing: what it does wrong, and when, it is told.
//
// LONGHAUL_FAKE_WORKER holds "BEHAVIOUR [STAGE [STEP]]" (see Behaviour); every stage reads it, the
// one named acts on it. Steps take a millisecond each, so that a run can be met in the middle.
#include "proto/channel/context.hpp"
#include "proto/channel/control_channel.hpp"
#include "proto/control.pb.h"
#include "proto/profile.pb.h"
#include "tests/pretended_profile.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <iterator>
#include <sstream>
#include <string>

namespace {

using namespace longhaul;

// "refuse": preflight finds two errors. "mistake", "exhausted", "crash": while it prepares, it
// reports CONFIGURATION, reports RESOURCE, exits with status 3. "die", "nan", "lose": at the step,
// it is killed, reports NUMERIC, reports LOST. "stubborn": it ignores every request to stop.
struct Behaviour {
  std::string name;
  std::uint32_t stage = 0;
  std::uint64_t step = 0;

  static Behaviour read() {
    Behaviour behaviour;
    if (const char* text = std::getenv("LONGHAUL_FAKE_WORKER")) {
      std::istringstream(text) >> behaviour.name >> behaviour.stage >> behaviour.step;
    }
    return behaviour;
  }
};

template <class Message>
Message read_message() {
  Message message;
  message.ParseFromString(std::string(std::istreambuf_iterator<char>(std::cin), {}));
  return message;
}

class FakeWorker {
 public:
  explicit FakeWorker(wire::WorkerBootstrap bootstrap) : bootstrap_(std::move(bootstrap)) {}

  int run() {
    auto opened = proto::ControlClient::open(
        context_.zmq(), loop_,
        {.endpoint = bootstrap_.endpoint(),
         .server_key = bootstrap_.server_key(),
         .keys = {bootstrap_.public_key(), bootstrap_.secret_key()},
         .on_message = [this](wire::Envelope message) { on_message(message); },
         .on_connection = [this](bool connected, const std::string&) {
           if (connected && !assigned_) say_hello();
         }});
    if (!opened) return 1;
    control_ = std::move(*opened);
    wait_for_signal();
    loop_.run();
    control_.reset();
    return code_;
  }

 private:
  [[nodiscard]] bool does(const std::string& name) const {
    return behaviour_.name == name && behaviour_.stage == bootstrap_.stage();
  }

  void wait_for_signal() {
    signals_.async_wait([this](const boost::system::error_code& error, int) {
      if (error) return;
      stop(0);
      wait_for_signal();
    });
  }

  void say_hello() {
    wire::Envelope message;
    auto& hello = *message.mutable_worker_hello();
    hello.set_job_id(bootstrap_.job_id());
    hello.set_epoch(bootstrap_.epoch());
    hello.set_stage(bootstrap_.stage());
    control_->send(message);
  }

  void on_message(const wire::Envelope& message) {
    if (message.has_start_worker()) {
      assigned_ = true;
      prepare(message.start_worker().assignment());
    } else if (message.worker_command().has_begin()) {
      report([](auto& event) { event.mutable_linked(); });
      next_step();
    } else if (message.worker_command().has_stop()) {
      stop(0);
    } else if (message.worker_command().has_export_()) {
      report([&](auto& event) {
        event.mutable_exported()->set_path(message.worker_command().export_().directory());
      });
    }
  }

  void prepare(const wire::Assignment& assignment) {
    assignment_ = assignment;
    if (does("crash")) {
      std::cerr << "a library is missing" << std::endl;
      std::_Exit(3);
    }
    if (does("mistake")) return fail(wire::Failure::CONFIGURATION, "tokens do not fit the model");
    if (does("exhausted")) return fail(wire::Failure::RESOURCE, "not enough memory for the shard");
    report([](auto& event) {
      event.mutable_ready()->set_endpoint("tcp://127.0.0.1:1");
      event.mutable_ready()->set_public_key("not dialled by anybody");
    });
  }

  void next_step() {
    timer_.expires_after(std::chrono::milliseconds(1));
    timer_.async_wait([this](const boost::system::error_code& error) {
      if (!error) train();
    });
  }

  void train() {
    const std::uint64_t step = ++step_;
    const bool now = step == behaviour_.step;
    if (now && does("die")) std::raise(SIGKILL);
    if (now && does("nan")) return fail(wire::Failure::NUMERIC, "step 3: the loss became NaN");
    if (now && does("lose")) return fail(wire::Failure::LOST, "link to stage 1: closed");
    report([&](auto& event) {
      auto& report = *event.mutable_step();
      report.set_step(step);
      report.set_loss(5.0 / static_cast<double>(step));
      report.set_learning_rate(1e-3);
      report.set_step_time_s(0.001);
      report.set_tokens(100);
      *report.mutable_stage() = stage_report();
    });
    if (step < assignment_.job().training().steps()) return next_step();
    if (bootstrap_.stage() + 1 == static_cast<std::uint32_t>(assignment_.plan().stages_size())) {
      report([&](auto& event) {
        event.mutable_evaluation()->set_step(step);
        event.mutable_evaluation()->set_loss(0.5);
        event.mutable_evaluation()->set_tokens(1000);
      });
    }
    report([&](auto& event) { *event.mutable_finished()->mutable_stage() = stage_report(); });
    stop(0);
  }

  wire::StageReport stage_report() const {
    wire::StageReport report;
    report.set_stage(bootstrap_.stage());
    report.set_parameters(1000);
    return report;
  }

  template <class Fill>
  void report(Fill fill) {
    wire::Envelope message;
    auto& event = *message.mutable_worker_event();
    event.set_job_id(bootstrap_.job_id());
    event.set_epoch(bootstrap_.epoch());
    event.set_stage(bootstrap_.stage());
    fill(event);
    control_->send(message);
  }

  void fail(wire::Failure::Kind kind, const std::string& message) {
    report([&](auto& event) {
      event.mutable_failed()->set_kind(kind);
      event.mutable_failed()->set_message(message);
    });
    stop(1);
  }

  void stop(int code) {
    if (does("stubborn")) return;
    code_ = code;
    loop_.stop();
  }

  wire::WorkerBootstrap bootstrap_;
  Behaviour behaviour_ = Behaviour::read();
  boost::asio::io_context loop_;
  proto::Context context_;
  boost::asio::signal_set signals_{loop_, SIGTERM, SIGINT};
  boost::asio::steady_timer timer_{loop_};
  std::unique_ptr<proto::ControlClient> control_;
  wire::Assignment assignment_;
  bool assigned_ = false;
  std::uint64_t step_ = 0;
  int code_ = 0;
};

int preflight() {
  const auto submission = read_message<wire::SubmitJob>();
  if (submission.job().name().empty()) return 1;
  if (Behaviour::read().name != "refuse") return 0;
  std::cerr << "data.train: no tokens\nmodel: no weights\n";
  return 2;
}

int probe() {
  std::cout << R"({"torch": "none", "cpu": {"description": "pretended", "threads": 2,)"
            << R"( "memory_bytes": 1000000000}, "cuda": []})" << '\n';
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string command = argc > 1 ? argv[1] : "";
  if (command == "serve") return FakeWorker(read_message<wire::WorkerBootstrap>()).run();
  if (command == "preflight") return preflight();
  if (command == "probe") return probe();
  if (command == "profile") {
    std::cout << tests::pretended_profile(read_message<wire::ProfileRequest>()) << '\n';
    return 0;
  }
  return 2;
}
