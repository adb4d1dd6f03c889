// Follows one job over a connection that may come and go.
#include "daemon/cli/programs/watch.hpp"

#include "daemon/cli/output.hpp"
#include "daemon/cli/programs/commands.hpp"
#include "daemon/cli/programs/coordinator_client.hpp"
#include "daemon/cli/programs/exit_code.hpp"
#include "daemon/cli/programs/signals.hpp"
#include "daemon/cli/progress.hpp"
#include "daemon/cli/summary.hpp"
#include "proto/channel/context.hpp"

#include <optional>

#include <unistd.h>

namespace longhaul::daemon {

namespace {

constexpr std::chrono::milliseconds kDeadline{15'000};

struct Watch {
  WatchOptions options;
  boost::asio::io_context loop;
  Output output{STDOUT_FILENO};
  Progress progress;
  Summary summary;
  bool has_trained = false;
  int code = kFailed;
  std::string error;

  explicit Watch(const WatchOptions& given)
      : options(given),
        progress({.style = choose_progress_style(given.json, STDOUT_FILENO),
                  .write =
                      [this](std::string_view text) {
                        if (!output.write(text)) end(kFailed, "nobody reads the output");
                      },
                  .width = [] { return terminal_width(STDOUT_FILENO); }}) {}

  void end(int how, const std::string& why) {
    code = how;
    error = why;
    loop.stop();
  }
  void on_event(const proto::Result<wire::JobEvent>& event);
};

void Watch::on_event(const proto::Result<wire::JobEvent>& event) {
  if (!event) return end(exit_code(event.error()), event.error().message);
  progress.on_event(*event);
  summary.on_event(*event);
  if (!event->has_state()) return;
  const auto& job = event->state();
  has_trained = has_trained || job.state() == wire::TRAINING;
  if (job.state() != wire::DONE && job.state() != wire::FAILED && job.state() != wire::CANCELLED) {
    return;
  }
  end(exit_code(job, has_trained), job.failure().message());
  if (options.summary.empty()) return;
  if (const auto written = summary.write(options.summary); !written && code == kDone) {
    end(kFailed, written.error().message);
  }
}

}  // namespace

int watch_job(const ClientConfiguration& configuration, const WatchOptions& options) {
  const auto keys = proto::load_key_pair(configuration.key);
  if (!keys) return fail(kLonghaul, keys.error());
  proto::Context context;
  Watch watch(options);
  auto client = CoordinatorClient::open(
      context.zmq(), watch.loop, {.coordinator = configuration.coordinator, .keys = *keys});
  if (!client) return fail(kLonghaul, client.error());
  const StopSignals signals(watch.loop, [&](const std::string& name) {
    watch.output.stop_waiting();
    watch.end(kFailed, "stopped by " + name + "; the job goes on");
  });
  // Asked first, so that a coordinator out of reach or a job that is not there is told at once.
  wire::Envelope show;
  show.mutable_show_job()->set_job_id(options.job_id);
  (*client)->ask(std::move(show), kDeadline, [&](const proto::Result<wire::Envelope>& answer) {
    if (!answer) return watch.end(exit_code(answer.error()), answer.error().message);
    watch.summary.on_status(answer->job_status());
    (*client)->watch(options.job_id, [&](const proto::Result<wire::JobEvent>& event) {
      watch.on_event(event);
    });
  });
  watch.loop.run();
  watch.progress.finish();
  if (!watch.error.empty()) print_error(kLonghaul, watch.error);
  return watch.code;
}

}  // namespace longhaul::daemon
