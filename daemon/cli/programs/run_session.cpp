// The steps of a run, and every way in which it can end early.
#include "daemon/cli/programs/run_session.hpp"

#include "daemon/cli/programs/commands.hpp"
#include "daemon/cli/programs/exit_code.hpp"
#include "proto/failure.hpp"

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iostream>

#include <unistd.h>

namespace longhaul::daemon {

namespace {

constexpr std::chrono::milliseconds kStartDeadline{120'000};
constexpr std::chrono::milliseconds kAnswerDeadline{60'000};
constexpr std::chrono::milliseconds kPlanDeadline{400'000};  // nodes may measure the model first
constexpr std::chrono::seconds kCancelDeadline{15};

}  // namespace

RunSession::RunSession(Options options)
    : options_(std::move(options)),
      progress_({.style = options_.style,
                 .write = [this](std::string_view text) { write(text); },
                 .width = [] { return terminal_width(STDOUT_FILENO); }}),
      cancel_deadline_(loop_),
      output_(STDOUT_FILENO) {}

int RunSession::run() {
  signals_.emplace(loop_, [this](const std::string& name) { on_stop_signal(name); });
  if (!check_output("--log", options_.log) || !check_output("--summary", options_.summary)) {
    return kUsage;
  }
  if (preflight() && open_log() && start_fleet()) loop_.run();
  progress_.finish();
  client_.reset();
  fleet_.reset();
  if (!error_.empty()) print_error(kLonghaul, error_);
  return code_.value_or(kFailed);
}

// Whether the file could be written, as far as can be told without making it.
bool RunSession::check_output(const char* option, const std::filesystem::path& file) {
  std::error_code ignored;
  const auto folder = file.parent_path();
  if (std::filesystem::is_directory(file, ignored)) {
    print_error(kLonghaul,
                fmt::format("{}: a folder; {} wants a file's name", file.string(), option));
  } else if (!folder.empty() && !std::filesystem::is_directory(folder, ignored)) {
    print_error(kLonghaul,
                fmt::format("{}: no such folder; choose another {}", folder.string(), option));
  } else {
    return true;
  }
  return false;
}

// Once the input has passed: what is refused leaves no file behind.
bool RunSession::open_log() {
  if (options_.log.empty()) return true;
  log_.open(options_.log, std::ios::app);
  if (log_) return true;
  code_ = kUsage;
  error_ = fmt::format("cannot write {}: choose another --log", options_.log.string());
  return false;
}

// Data, tokenizer, weights and checkpoints as a worker on this host will find them.
bool RunSession::preflight() {
  auto process = ChildProcess::start(
      loop_, {.program = options_.fleet.worker,
              .arguments = {"preflight"},
              .input = options_.submission.SerializeAsString(),
              .on_error = [](const std::string& line) { print_error(kLonghaul, line); },
              .on_exit =
                  [this](ProcessExit exit) {
                    loop_.stop();
                    if (exit.succeeded() || code_) return;
                    code_ = !exit.signalled && exit.code == kUsage ? kUsage : kFailed;
                    if (preflight_->last_error_lines().empty() || exit.signalled) {
                      error_ = fmt::format("{} preflight {}", options_.fleet.worker.string(),
                                           describe(exit));
                    }
                  }});
  if (!process) {
    code_ = exit_code(process.error());
    error_ = process.error().message;
    return false;
  }
  preflight_ = std::move(*process);
  loop_.run();
  loop_.restart();
  preflight_.reset();
  return !code_;
}

bool RunSession::start_fleet() {
  auto fleet_options = options_.fleet;
  fleet_options.on_log = [this](const std::string& line) {
    if (log_.is_open()) log_ << line << std::endl;
  };
  fleet_options.on_loss = [this](const proto::Error& error) {
    if (code_) return;
    auto* failure = status_.mutable_failure();
    *failure = proto::to_failure(error);
    status_.set_state(wire::FAILED);  // nobody else will say so
    summary_.on_status(status_);
    fail(exit_code(error), error.message);
  };
  auto fleet = LocalFleet::start(loop_, std::move(fleet_options));
  if (!fleet) {
    code_ = exit_code(fleet.error());
    error_ = fleet.error().message;
    return false;
  }
  fleet_ = std::move(*fleet);
  auto client = CoordinatorClient::open(context_.zmq(), loop_,
                                        {.coordinator = fleet_->address(),
                                         .keys = fleet_->operator_keys(),
                                         .fail_without_connection = false});
  if (!client) {
    code_ = exit_code(client.error());
    error_ = client.error().message;
    return false;
  }
  client_ = std::move(*client);
  wire::Envelope wait;
  wait.mutable_list_nodes()->set_ready(options_.fleet.nodes);
  using Answer = proto::Result<wire::Envelope>;
  client_->ask(std::move(wait), kStartDeadline, [this](const Answer& answer) {
    if (code_) return;
    if (answer) {
      on_nodes_ready();
    } else {
      end(kFailed, "the nodes did not start: " + answer.error().message);
    }
  });
  return true;
}

void RunSession::on_nodes_ready() {
  wire::Envelope submit;
  *submit.mutable_submit_job() = options_.submission;
  submit.mutable_submit_job()->set_nodes(options_.fleet.nodes);
  client_->ask(std::move(submit), kPlanDeadline,
               [this](const proto::Result<wire::Envelope>& answer) {
                 if (code_) return;
                 if (answer) {
                   on_accepted(answer->accepted().job_id());
                 } else {
                   end(exit_code(answer.error()), answer.error().message);
                 }
               });
}

void RunSession::on_accepted(const std::string& job_id) {
  job_id_ = job_id;
  client_->watch(job_id, [this](const proto::Result<wire::JobEvent>& event) {
    if (event) {
      on_event(*event);
    } else {
      end(kFailed, event.error().message);
    }
  });
}

void RunSession::on_event(const wire::JobEvent& event) {
  if (code_) return;
  progress_.on_event(event);
  summary_.on_event(event);
  if (event.has_exported()) not_exported_ = event.exported().error();
  if (event.has_checkpoint() && event.checkpoint().error().empty()) has_checkpoint_ = true;
  if (!event.has_state()) return;
  status_ = event.state();
  switch (status_.state()) {
    case wire::TRAINING:
      has_trained_ = true;
      break;
    case wire::DONE:
      if (not_exported_.empty()) {
        end(kDone, {});
      } else {
        end(kFailed, "the model was not exported: " + not_exported_);
      }
      break;
    case wire::FAILED:
      fail(exit_code(status_, has_trained_), status_.failure().message());
      break;
    case wire::CANCELLED:
      end(kFailed, stop_signal_.empty()
                       ? status_.failure().message()
                       : fmt::format("{}: {}", stop_signal_, status_.failure().message()));
      break;
    case wire::PREPARING:
    case wire::JOB_UNSPECIFIED:
    case wire::JobState_INT_MIN_SENTINEL_DO_NOT_USE_:
    case wire::JobState_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
}

void RunSession::on_stop_signal(const std::string& name) {
  const bool again = !stop_signal_.empty() || code_;
  stop_signal_ = name;
  output_.stop_waiting();
  if (preflight_) {  // it takes back what it has half written; nothing else runs yet
    preflight_->signal(again ? SIGKILL : SIGTERM);
    if (!code_) error_ = "stopped by " + name;
    if (!code_) code_ = kFailed;
    cancel_deadline_.expires_after(kCancelDeadline);
    cancel_deadline_.async_wait([this](const boost::system::error_code& error) {
      if (!error && preflight_) preflight_->signal(SIGKILL);
    });
    return;
  }
  if (again && fleet_) fleet_->kill();  // the user has no patience
  if (again || job_id_.empty()) {
    end(kFailed, "stopped by " + name);
    return;
  }
  cancel_deadline_.expires_after(kCancelDeadline);
  cancel_deadline_.async_wait([this, name](const boost::system::error_code& error) {
    if (!error) end(kFailed, "stopped by " + name);
  });
  wire::Envelope cancel;
  cancel.mutable_cancel_job()->set_job_id(job_id_);
  client_->ask(std::move(cancel), kAnswerDeadline, [](const proto::Result<wire::Envelope>&) {
    // The job's last event says it, or the deadline ends the wait.
  });
}

void RunSession::write(std::string_view text) {
  if (output_is_broken_ || output_.write(text)) return;
  output_is_broken_ = true;  // nobody reads any more, as after `| head`
  boost::asio::post(loop_, [this] { on_stop_signal("a closed output"); });
}

void RunSession::write_summary() {
  if (options_.summary.empty() || job_id_.empty()) return;
  const auto written = summary_.write(options_.summary);
  if (written) return;
  if (code_ == kDone) {
    code_ = kFailed;
    error_ = written.error().message;
  }
}

// Of what was trained: a later run can go on from the last checkpoint.
void RunSession::fail(int code, const std::string& error) {
  const auto& folder = options_.submission.job().checkpoint().directory();
  end(code, has_checkpoint_ ? fmt::format("{}; --resume {} continues it", error, folder) : error);
}

void RunSession::end(int code, const std::string& error) {
  if (code_) return;
  code_ = code;
  error_ = error;
  cancel_deadline_.cancel();
  write_summary();
  if (fleet_) {
    fleet_->stop([this] { loop_.stop(); });
  } else {
    loop_.stop();
  }
}

}  // namespace longhaul::daemon
