// One place that turns errors into lines and exit codes.
#include "daemon/cli/programs/exit_code.hpp"

#include "daemon/configuration/printable.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <string>

namespace longhaul::daemon {

namespace {

constexpr std::size_t kMaxLineBytes = 4096;

}  // namespace

int exit_code(const proto::Error& error) {
  using enum proto::ErrorKind;
  const bool usage =
      error.kind == kConfiguration || error.kind == kResource || error.kind == kNumeric;
  return usage ? kUsage : kFailed;
}

int exit_code(const wire::JobStatus& job, bool has_trained) {
  if (job.state() == wire::DONE) return kDone;
  const auto kind = job.failure().kind();
  if (kind == wire::Failure::CONFIGURATION || kind == wire::Failure::NUMERIC) return kUsage;
  if (kind == wire::Failure::RESOURCE && !has_trained) return kUsage;
  return kFailed;
}

void print_error(std::string_view program, std::string_view message) {
  const auto line = std::string(program) + ": " + printable(message, kMaxLineBytes) + "\n";
  std::fflush(stdout);
  std::fwrite(line.data(), 1, line.size(), stderr);
}

int fail(std::string_view program, const proto::Error& error) {
  print_error(program, error.message);
  return exit_code(error);
}

int usage(std::string_view program, const CLI::App& app, const CLI::ParseError& error) {
  if (error.get_exit_code() == 0) return app.exit(error);
  std::string command(program);
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    command += " " + at->get_name();
  }
  print_error(program, std::string(error.what()) + "; see `" + command + " --help`");
  return kUsage;
}

}  // namespace longhaul::daemon
