// A child process that dies with us, whose exit and standard error arrive on the Asio loop.
#pragma once

#include "proto/error.hpp"

#include <boost/asio/io_context.hpp>

#include <cstddef>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

namespace longhaul::daemon {

// How a process ended: with an exit status, or by a signal.
struct ProcessExit {
  bool signalled = false;
  int code = 0;  // exit status, or the signal's number

  [[nodiscard]] bool succeeded() const { return !signalled && code == 0; }
  bool operator==(const ProcessExit&) const = default;
};

// "exited with status 3", "was killed by signal 9 (SIGKILL, perhaps out of memory)".
[[nodiscard]] std::string describe(const ProcessExit& exit);

// Started in a process group of its own, so that Ctrl-C at a terminal reaches the parent alone,
// with PR_SET_PDEATHSIG, so that it does not outlive the thread that started it: start children
// from a thread that lives as long as the process. Inherits no descriptor but 0, 1 and 2.
class ChildProcess {
 public:
  struct Options {
    std::filesystem::path program;
    std::vector<std::string> arguments = {};  // without the program's name
    std::string input = {};                   // all of its standard input
    // Files of namespaces (see namespaces(7)) that it enters before it becomes the program, in this
    // order.
    std::vector<std::filesystem::path> namespaces = {};
    // Each complete line, without its end; of standard error cut at 4096 bytes, of standard output
    // at a MiB. Where `on_output` is empty, standard output goes to /dev/null.
    std::function<void(std::string line)> on_output = {};
    std::function<void(std::string line)> on_error = {};
    // Once, after the process is gone and what it wrote has been read. May destroy the
    // ChildProcess.
    std::function<void(ProcessExit)> on_exit = {};
  };

  // kResource if the system refuses a process or a namespace; kConfiguration if the program cannot
  // be executed: the message names the file and the reason.
  [[nodiscard]] static proto::Result<std::unique_ptr<ChildProcess>> start(
      boost::asio::io_context& loop, Options options);
  ~ChildProcess();  // kills with SIGKILL and reaps a process that still runs
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  [[nodiscard]] pid_t id() const;
  void signal(int number);                                          // nothing if it has exited
  [[nodiscard]] std::vector<std::string> last_error_lines() const;  // at most 20, oldest first

 private:
  class Impl;
  explicit ChildProcess(std::shared_ptr<Impl> impl);
  std::shared_ptr<Impl> impl_;
};

// Makes the text this process's own standard input, for a program that it is about to become. False
// and errno if the system refuses.
[[nodiscard]] bool replace_standard_input(const std::string& text);

}  // namespace longhaul::daemon
