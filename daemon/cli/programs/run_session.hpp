// One `longhaul run`: fleet up, job submitted and watched, fleet down, whatever happens.
#pragma once

#include "daemon/cli/output.hpp"
#include "daemon/cli/programs/coordinator_client.hpp"
#include "daemon/cli/programs/local_fleet.hpp"
#include "daemon/cli/programs/signals.hpp"
#include "daemon/cli/progress.hpp"
#include "daemon/cli/summary.hpp"
#include "proto/channel/context.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <string>

namespace longhaul::daemon {

class RunSession {
 public:
  struct Options {
    wire::SubmitJob submission;
    LocalFleet::Options fleet;      // but for its callbacks
    std::filesystem::path summary;  // empty: none
    std::filesystem::path log;      // of the whole fleet; empty: none
    ProgressStyle style = ProgressStyle::kLines;
  };

  explicit RunSession(Options options);

  // Checks the submission on this host, trains, and returns the exit code. Errors are printed.
  int run();

 private:
  static bool check_output(const char* option, const std::filesystem::path& file);
  bool preflight();
  bool open_log();
  bool start_fleet();
  void on_nodes_ready();
  void on_accepted(const std::string& job_id);
  void on_event(const wire::JobEvent& event);
  void on_stop_signal(const std::string& name);
  void write(std::string_view text);
  void write_summary();
  // The end: remembers the first outcome, stops the fleet, then the loop.
  void fail(int code, const std::string& error);
  void end(int code, const std::string& error);

  Options options_;
  boost::asio::io_context loop_;
  std::optional<StopSignals> signals_;
  Progress progress_;
  Summary summary_;
  std::ofstream log_;
  std::unique_ptr<ChildProcess> preflight_;
  // The context outlives the client, which outlives the fleet's last messages.
  proto::Context context_;
  std::unique_ptr<LocalFleet> fleet_;
  std::unique_ptr<CoordinatorClient> client_;
  boost::asio::steady_timer cancel_deadline_;
  std::string job_id_;
  std::string stop_signal_;
  wire::JobStatus status_;  // as last told
  bool has_trained_ = false;
  bool has_checkpoint_ = false;
  std::string not_exported_;  // why
  Output output_;
  bool output_is_broken_ = false;
  std::optional<int> code_;  // set once the end has begun
  std::string error_;
};

}  // namespace longhaul::daemon
