// One place that turns errors into lines and exit codes.
#include "daemon/cli/programs/exit_code.hpp"

#include "daemon/configuration/printable.hpp"
#include "proto/text.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::daemon {

namespace {

constexpr std::size_t kMaxLineBytes = 4096;

// What to say of a word that `command`, a part of `app`, does not know; empty: there is none.
std::string unknown_word(const CLI::App& app, const CLI::App& command) {
  const auto words = app.remaining(true);
  if (words.empty()) return "";
  // Options come first where there are any: what follows an unknown one may be its value.
  const auto option = std::find_if(words.begin(), words.end(),
                                   [](const std::string& word) { return word.starts_with('-'); });
  std::vector<std::string> names;
  if (option != words.end()) {
    for (const CLI::App* part : {&app, &command}) {
      for (const CLI::Option* known : part->get_options()) {
        for (const std::string& name : known->get_lnames()) names.push_back("--" + name);
      }
    }
  } else {
    const auto named = [](const CLI::App* part) { return !part->get_name().empty(); };
    for (const CLI::App* part : command.get_subcommands(named)) names.push_back(part->get_name());
  }
  const std::string& word = option != words.end() ? *option : words.front();
  const std::vector<std::string_view> known(names.begin(), names.end());
  const std::string what = option != words.end() ? "there is no option "
                           : names.empty()       ? "too many arguments: "
                                                 : "there is no command ";
  return what + proto::quoted(word) + proto::did_you_mean(word, known);
}

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
  const std::string unknown = unknown_word(app, *at);
  print_error(program,
              (unknown.empty() ? error.what() : unknown) + "; see `" + command + " --help`");
  return kUsage;
}

}  // namespace longhaul::daemon
