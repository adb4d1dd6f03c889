// Asks, and looks again until it is so.
#include "daemon/cli/programs/job_orders.hpp"

#include "daemon/cli/programs/coordinator_client.hpp"
#include "daemon/cli/programs/exit_code.hpp"
#include "proto/channel/context.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <chrono>
#include <iostream>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

namespace longhaul::daemon {

namespace {

using std::chrono::milliseconds;
using Answered = proto::Result<wire::Envelope>;

constexpr milliseconds kDeadline = Patience().deadline;
constexpr milliseconds kWhilePlanning{60'000};
// The coordinator plans without profiles when they take too long.
constexpr milliseconds kWhileMeasuring{400'000};
constexpr milliseconds kBetweenLooks{500};
constexpr std::chrono::seconds kUntilFree{30};

// One connection, on which one thing is asked after the other.
class Conversation {
 public:
  static proto::Result<std::unique_ptr<Conversation>> open(const CommandLine& line) {
    auto conversation = std::make_unique<Conversation>();
    auto client = open_client(conversation->context_.zmq(), conversation->loop_, line.config);
    if (!client) return client.error();
    conversation->client_ = std::move(*client);
    return conversation;
  }

  // Until the answer; `meanwhile` is called every half second.
  Answered ask(wire::Envelope message, milliseconds deadline = kDeadline,
               const std::function<void()>& meanwhile = {}) {
    std::optional<Answered> answer;
    client_->ask(std::move(message), deadline, [&](Answered how) { answer = std::move(how); });
    wait_until([&] { return answer.has_value(); }, meanwhile);
    return std::move(*answer);
  }

  void wait_until(const std::function<bool()>& so, const std::function<void()>& meanwhile = {}) {
    auto next = std::chrono::steady_clock::now() + kBetweenLooks;
    while (!so()) {
      if (loop_.stopped()) loop_.restart();
      loop_.run_one_until(next);
      if (std::chrono::steady_clock::now() < next) continue;
      next += kBetweenLooks;
      if (meanwhile) meanwhile();
    }
  }

  [[nodiscard]] CoordinatorClient& client() { return *client_; }

 private:
  proto::Context context_;
  boost::asio::io_context loop_;
  std::unique_ptr<CoordinatorClient> client_;
};

Answered show(Conversation& with, const std::string& job_id) {
  wire::Envelope message;
  message.mutable_show_job()->set_job_id(job_id);
  return with.ask(std::move(message));
}

wire::Envelope list_nodes() {
  wire::Envelope message;
  message.mutable_list_nodes();
  return message;
}

// Asks, until it has been told, which nodes measure.
class MeasuringNotice {
 public:
  explicit MeasuringNotice(Conversation& with) : with_(with) {}

  void look() {
    if (asked_) return;
    asked_ = true;
    with_.client().ask(list_nodes(), kDeadline, [this](const Answered& answer) {
      std::vector<std::string> measuring;
      if (answer) {
        for (const auto& node : answer->node_list().nodes()) {
          // What is ready and has a reason is free, but for that.
          if (node.state() == wire::READY && !node.reason().empty()) {
            measuring.push_back(node.info().name());
          }
        }
      }
      asked_ = !measuring.empty();
      if (measuring.empty()) return;
      print_error(kLonghaul,
                  fmt::format("waits to be planned: {} measure{} a model, about half a minute for "
                              "each kind of node",
                              fmt::join(measuring, ", "), measuring.size() == 1 ? "s" : ""));
    });
  }

 private:
  Conversation& with_;
  bool asked_ = false;  // or told
};

void print_submitted(const wire::JobStatus& job, bool json) {
  std::vector<std::string> nodes;
  for (const auto& stage : job.plan().stages()) nodes.push_back(stage.node());
  if (json) {
    std::cout << nlohmann::ordered_json{{"event", "submitted"},
                                        {"job", job.id()},
                                        {"nodes", nodes},
                                        {"planner", job.plan().planner()}}
                     .dump()
              << std::endl;
    return;
  }
  std::cout << "submitted as " << job.id();
  if (!nodes.empty()) {
    std::cout << fmt::format(" on {}, {}", fmt::join(nodes, ", "),
                             job.plan().planner() == "given"
                                 ? "by the given plan"
                                 : "planned by " + job.plan().planner());
  }
  std::cout << std::endl;
}

void print_event(const char* event, const std::string& job_id, bool json) {
  if (json) {
    std::cout << nlohmann::json{{"event", event}, {"job", job_id}}.dump() << std::endl;
  } else {
    std::cout << job_id << ": " << event << std::endl;
  }
}

bool has_ended(const wire::JobStatus& job) {
  return job.state() == wire::DONE || job.state() == wire::FAILED || job.state() == wire::CANCELLED;
}

}  // namespace

int submit_job(const CommandLine& line, wire::SubmitJob submission, OrderOptions options,
               std::string& job_id) {
  auto with = Conversation::open(line);
  if (!with) return fail(kLonghaul, with.error());
  wire::Envelope message;
  *message.mutable_submit_job() = std::move(submission);
  MeasuringNotice notice(**with);
  const auto answer =
      (*with)->ask(std::move(message), options.measures ? kWhileMeasuring : kWhilePlanning, [&] {
        if (options.measures && !options.json) notice.look();
      });
  if (!answer) return fail(kLonghaul, answer.error());
  job_id = answer->accepted().job_id();
  const auto shown = show(**with, job_id);
  wire::JobStatus job;
  if (shown) job = shown->job_status();
  job.set_id(job_id);  // it is submitted, whatever became of the second question
  print_submitted(job, options.json);
  return kDone;
}

int cancel_job(const CommandLine& line, const std::string& job_id, OrderOptions options) {
  auto with = Conversation::open(line);
  if (!with) return fail(kLonghaul, with.error());
  wire::Envelope message;
  message.mutable_cancel_job()->set_job_id(job_id);
  if (const auto answer = (*with)->ask(std::move(message)); !answer) {
    return fail(kLonghaul, answer.error());
  }
  const auto deadline = std::chrono::steady_clock::now() + kUntilFree;
  while (true) {
    const auto nodes = (*with)->ask(list_nodes());
    if (!nodes) {
      return fail(kLonghaul,
                  proto::with_context(job_id + " is cancelled; its nodes", nodes.error()));
    }
    std::vector<std::string> busy;
    for (const auto& node : nodes->node_list().nodes()) {
      if (node.state() == wire::BUSY && node.job_id() == job_id) busy.push_back(node.info().name());
    }
    if (busy.empty()) break;
    const auto now = std::chrono::steady_clock::now();
    if (now >= deadline) {
      print_error(kLonghaul, fmt::format("{} is cancelled, but {} s later {} still {} it", job_id,
                                         kUntilFree.count(), fmt::join(busy, ", "),
                                         busy.size() == 1 ? "runs" : "run"));
      return kFailed;
    }
    bool again = false;
    (*with)->wait_until([&] { return again; }, [&] { again = true; });
  }
  print_event("cancelled", job_id, options.json);
  return kDone;
}

int export_job(const CommandLine& line, const std::string& job_id,
               const std::filesystem::path& folder, OrderOptions options) {
  auto with = Conversation::open(line);
  if (!with) return fail(kLonghaul, with.error());
  if (const auto shown = show(**with, job_id); !shown) return fail(kLonghaul, shown.error());
  // The coordinator answers in order: events that come before it accepts are of earlier exports.
  bool accepted = false;
  std::optional<std::string> outcome;  // why it was not written; empty: it was
  (*with)->client().watch(job_id, [&](const proto::Result<wire::JobEvent>& event) {
    if (outcome) return;
    if (!event) {
      outcome = event.error().message;
    } else if (accepted && event->has_exported() && event->exported().path() == folder.string()) {
      outcome = event->exported().error();
    } else if (accepted && event->has_state() && has_ended(event->state())) {
      outcome = "the job ended before it was";
    }
  });
  wire::Envelope message;
  message.mutable_export_job()->set_job_id(job_id);
  message.mutable_export_job()->set_directory(folder.string());
  std::optional<Answered> answer;
  (*with)->client().ask(std::move(message), kDeadline, [&](Answered how) {
    accepted = how.has_value();
    answer = std::move(how);
  });
  (*with)->wait_until([&] { return answer && (!accepted || outcome); });
  if (!accepted) return fail(kLonghaul, answer->error());
  if (!outcome->empty()) {
    print_error(kLonghaul,
                fmt::format("{}: {} was not written: {}", job_id, folder.string(), *outcome));
    return kFailed;
  }
  if (options.json) {
    std::cout << nlohmann::ordered_json{{"event", "exported"},
                                        {"job", job_id},
                                        {"path", folder.string()}}
                     .dump()
              << std::endl;
  } else {
    std::cout << job_id << ": exported to " << folder.string() << std::endl;
  }
  return kDone;
}

}  // namespace longhaul::daemon
