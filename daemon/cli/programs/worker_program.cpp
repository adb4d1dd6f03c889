// Runs longhaul-worker for answers that need LibTorch.
#include "daemon/cli/programs/worker_program.hpp"

#include "daemon/host/child_process.hpp"

#include <boost/asio/io_context.hpp>
#include <fmt/format.h>

#include <cerrno>
#include <cstring>

#include <unistd.h>

namespace longhaul::daemon {

proto::Result<std::string> run_worker(const std::filesystem::path& worker,
                                      const std::vector<std::string>& arguments,
                                      const std::string& input) {
  boost::asio::io_context loop;
  std::string output;
  ProcessExit exit;
  auto process = ChildProcess::start(loop, {.program = worker,
                                            .arguments = arguments,
                                            .input = input,
                                            .on_output = [&](const std::string& line) {
                                              output += line + '\n';
                                            },
                                            .on_exit = [&](ProcessExit how) { exit = how; }});
  if (!process) return process.error();
  loop.run();
  if (exit.succeeded()) return output;
  const auto lines = (*process)->last_error_lines();
  const bool mistaken = !exit.signalled && exit.code == 2;
  return proto::Error{mistaken ? proto::ErrorKind::kConfiguration : proto::ErrorKind::kInternal,
                      mistaken && !lines.empty()
                          ? lines.back()
                          : fmt::format("{} {} {}{}", worker.filename().string(),
                                        arguments.front(), describe(exit),
                                        lines.empty() ? "" : ": " + lines.back())};
}

proto::Error become_worker(const std::filesystem::path& worker,
                           const std::vector<std::string>& arguments, const std::string& input) {
  const auto refused = [&] {
    return proto::configuration_error(
        fmt::format("cannot run {}: {}", worker.string(), std::strerror(errno)));
  };
  if (!replace_standard_input(input)) return refused();
  std::vector<std::string> words{worker.string()};
  words.insert(words.end(), arguments.begin(), arguments.end());
  std::vector<char*> pointers;
  for (auto& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  execv(worker.c_str(), pointers.data());
  return refused();
}

}  // namespace longhaul::daemon
