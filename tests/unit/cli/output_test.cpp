// Claims about text that goes to a pipe.
#include "daemon/cli/output.hpp"

#include <doctest/doctest.h>

#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <climits>
#include <csignal>
#include <string>
#include <thread>

namespace longhaul::daemon {
namespace {

struct Pipe {
  std::array<int, 2> ends{-1, -1};

  Pipe() { REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0); }
  ~Pipe() {
    stop_reading();
    close(ends[1]);
  }
  void stop_reading() {
    if (ends[0] >= 0) close(ends[0]);
    ends[0] = -1;
  }
  std::string read(std::size_t bytes) const {
    std::string text(bytes, '\0');
    std::size_t got = 0;
    while (got < bytes) {
      const auto count = ::read(ends[0], text.data() + got, bytes - got);
      REQUIRE(count > 0);
      got += static_cast<std::size_t>(count);
    }
    return text;
  }
};

constexpr std::size_t kMoreThanAPipe = 3 << 20;

TEST_CASE("output: a slow reader gets everything") {
  const Pipe pipe;
  Output output(pipe.ends[1]);
  const std::string text(kMoreThanAPipe, 'a');
  std::thread writer([&] { CHECK(output.write(text)); });
  const std::string read = pipe.read(text.size());
  writer.join();
  CHECK(read == text);
}

TEST_CASE("output: a signal ends the wait for a reader, and no text is lost") {
  struct sigaction noted = {};
  noted.sa_handler = [](int) {};
  struct sigaction before = {};
  REQUIRE(sigaction(SIGUSR1, &noted, &before) == 0);
  const Pipe pipe;
  Output output(pipe.ends[1]);
  const std::string first(kMoreThanAPipe, 'a');
  const pthread_t writer = pthread_self();
  std::atomic<bool> returned{false};
  std::thread signaller([&] {
    while (!returned) pthread_kill(writer, SIGUSR1);
  });
  const bool first_written = output.write(first);  // nobody reads
  const bool second_written = output.write("second");
  returned = true;
  signaller.join();
  sigaction(SIGUSR1, &before, nullptr);
  CHECK(first_written);
  CHECK(second_written);

  // What was kept goes out with later calls, as fast as it is read.
  std::string read;
  while (read.size() < first.size()) {
    read += pipe.read(PIPE_BUF);
    REQUIRE(output.write(""));
  }
  REQUIRE(output.write("third"));
  read += pipe.read(first.size() + 11 - read.size());
  CHECK(read == first + "secondthird");
}

TEST_CASE("output: once told not to wait, it never does") {
  const Pipe pipe;
  Output output(pipe.ends[1]);
  output.stop_waiting();
  CHECK(output.write(std::string(kMoreThanAPipe, 'a')));  // nobody reads
  CHECK(output.write("second"));
}

TEST_CASE("output: nobody reading is told") {
  Pipe pipe;
  const auto before = std::signal(SIGPIPE, SIG_IGN);
  Output output(pipe.ends[1]);
  CHECK(output.write("text"));
  pipe.stop_reading();
  CHECK_FALSE(output.write("text"));
  std::signal(SIGPIPE, before);
}

}  // namespace
}  // namespace longhaul::daemon
