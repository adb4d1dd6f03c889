// Real processes: how they end, what they say, that they do not outlive us.
#include "daemon/host/child_process.hpp"
#include "tests/unit/node/loop.hpp"

#include <doctest/doctest.h>

#include <csignal>
#include <fstream>
#include <optional>
#include <thread>

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

using namespace longhaul;
using namespace longhaul::daemon;

namespace {

struct Shell {
  boost::asio::io_context loop;
  std::vector<std::string> output;
  std::vector<std::string> errors;
  std::optional<ProcessExit> exit;
  std::unique_ptr<ChildProcess> child;

  explicit Shell(const std::string& script, const std::string& input = {}) {
    auto started = ChildProcess::start(
        loop, {.program = "/bin/sh",
               .arguments = {"-c", script},
               .input = input,
               .on_output = [this](std::string line) { output.push_back(std::move(line)); },
               .on_error = [this](std::string line) { errors.push_back(std::move(line)); },
               .on_exit = [this](ProcessExit how) { exit = how; }});
    REQUIRE(started.has_value());
    child = std::move(*started);
  }
  bool wait() {
    return run_until(loop, [this] { return exit.has_value(); });
  }
};

}  // namespace

TEST_CASE("child process: exit status and output arrive, in lines, before the exit") {
  Shell shell("echo one; echo two >&2; printf half >&2; exit 3");
  REQUIRE(shell.wait());
  CHECK(*shell.exit == ProcessExit{false, 3});
  CHECK(shell.output == std::vector<std::string>{"one"});
  CHECK(shell.errors == std::vector<std::string>{"two", "half"});
  CHECK(shell.child->last_error_lines() == shell.errors);
}

TEST_CASE("child process: all of a large input can be read, or none of it") {
  const std::string input(3'000'000, 'x');
  Shell reads("wc -c", input);
  REQUIRE(reads.wait());
  CHECK(reads.output == std::vector<std::string>{"3000000"});
  Shell ignores("exit 0", input);
  REQUIRE(ignores.wait());
  CHECK(ignores.exit->succeeded());
}

TEST_CASE("child process: a namespace that cannot be entered is told with its file") {
  boost::asio::io_context loop;
  for (const auto* file : {"/nowhere/net", "/dev/null"}) {
    const auto started = ChildProcess::start(loop, {.program = "/bin/true", .namespaces = {file}});
    REQUIRE_FALSE(started.has_value());
    CHECK(started.error().kind == proto::ErrorKind::kResource);
    CHECK(started.error().message.starts_with(
        std::string("cannot run /bin/true in the namespace ") + file + ": "));
  }
}

TEST_CASE("child process: a signal is told by number, name and likely reason") {
  Shell killed("kill -KILL $$");
  REQUIRE(killed.wait());
  CHECK(*killed.exit == ProcessExit{true, SIGKILL});
  CHECK(describe(*killed.exit) == "was killed by signal 9 (SIGKILL, perhaps out of memory)");
  CHECK(describe({true, SIGSEGV}) == "was killed by signal 11 (SIGSEGV)");
  CHECK(describe({false, 2}) == "exited with status 2");
}

TEST_CASE("child process: only the last lines of standard error are kept, long ones cut") {
  Shell shell("i=0; while [ $i -lt 50 ]; do echo line $i >&2; i=$((i+1)); done;"
              "head -c 100000 /dev/zero | tr '\\0' x >&2");
  REQUIRE(shell.wait());
  const auto lines = shell.child->last_error_lines();
  REQUIRE(lines.size() == 20);
  CHECK(lines.front() == "line 31");
  CHECK(lines.back().size() == 4096);
}

TEST_CASE("child process: a program that is not there is an error, not a child") {
  boost::asio::io_context loop;
  const auto started = ChildProcess::start(loop, {.program = "/nonexistent/program"});
  REQUIRE_FALSE(started.has_value());
  CHECK(started.error().kind == proto::ErrorKind::kConfiguration);
  CHECK(started.error().message == "cannot run /nonexistent/program: No such file or directory");
}

TEST_CASE("child process: dropping it ends the process") {
  pid_t id = 0;
  {
    Shell shell("sleep 1000");
    id = shell.child->id();
    CHECK(kill(id, 0) == 0);
  }
  CHECK(kill(id, 0) != 0);
}

TEST_CASE("child process: a grandchild that keeps the pipes open does not hide the exit") {
  Shell shell("sleep 1000 & echo $!; exit 5");
  REQUIRE(shell.wait());
  CHECK(shell.exit->code == 5);
  REQUIRE(shell.output.size() == 1);
  kill(std::stoi(shell.output[0]), SIGKILL);
}

TEST_CASE("child process: it has a process group of its own, inherits nothing, and dies with us") {
  const int leaked = open("/dev/null", O_RDONLY);  // not marked close-on-exec
  Shell shell("cut -d' ' -f5 /proc/$$/stat; echo $$; test -e /proc/$$/fd/" +
              std::to_string(leaked) + " || echo closed");
  REQUIRE(shell.wait());
  close(leaked);
  REQUIRE(shell.output.size() == 3);
  CHECK(shell.output[0] == shell.output[1]);
  CHECK(shell.output[2] == "closed");
  // A middle process starts a grandchild through ChildProcess and is killed: the grandchild goes
  // too.
  int pipe_ends[2];
  REQUIRE(pipe(pipe_ends) == 0);
  const pid_t middle = fork();
  if (middle == 0) {
    close(pipe_ends[0]);
    boost::asio::io_context loop;
    auto child = ChildProcess::start(loop, {.program = "/bin/sleep", .arguments = {"1000"}});
    const pid_t id = child ? (*child)->id() : -1;
    [[maybe_unused]] const auto written = write(pipe_ends[1], &id, sizeof id);
    raise(SIGKILL);
  }
  close(pipe_ends[1]);
  pid_t grandchild = -1;
  REQUIRE(read(pipe_ends[0], &grandchild, sizeof grandchild) == sizeof grandchild);
  close(pipe_ends[0]);
  REQUIRE(grandchild > 0);
  int status = 0;
  waitpid(middle, &status, 0);
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  auto gone = [&] {  // or a zombie that its new parent has not reaped yet
    std::ifstream stat("/proc/" + std::to_string(grandchild) + "/stat");
    std::string text;
    return !std::getline(stat, text) || text.find(") Z ") != std::string::npos;
  };
  while (!gone() && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  CHECK(gone());
}
