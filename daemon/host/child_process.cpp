// fork and exec with a death signal; a pidfd and two pipes on the Asio loop.
#include "daemon/host/child_process.hpp"

#include <boost/asio/buffer.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <fmt/format.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <deque>
#include <optional>
#include <utility>

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

namespace longhaul::daemon {

namespace asio = boost::asio;

namespace {

constexpr std::size_t kMaxErrorLineBytes = 4096;
constexpr std::size_t kMaxOutputLineBytes = 1u << 20;
constexpr std::size_t kKeptLines = 20;

class Descriptor {
 public:
  explicit Descriptor(int value = -1) : value_(value) {}
  ~Descriptor() { reset(); }
  Descriptor(Descriptor&& other) noexcept : value_(std::exchange(other.value_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  [[nodiscard]] int get() const { return value_; }
  [[nodiscard]] int release() { return std::exchange(value_, -1); }
  void reset() {
    if (value_ >= 0) close(std::exchange(value_, -1));
  }

 private:
  int value_;
};

struct Pipe {
  Descriptor read;
  Descriptor write;
};

std::optional<Pipe> make_pipe() {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return std::nullopt;
  return Pipe{Descriptor(ends[0]), Descriptor(ends[1])};
}

// A file in memory with the text, to be read from its start.
Descriptor file_in_memory(const std::string& text) {
  Descriptor file(memfd_create("input", MFD_CLOEXEC));
  for (std::size_t done = 0; file.get() >= 0 && done < text.size();) {
    const auto count = write(file.get(), text.data() + done, text.size() - done);
    if (count < 0) return Descriptor();
    done += static_cast<std::size_t>(count);
  }
  if (file.get() >= 0) lseek(file.get(), 0, SEEK_SET);
  return file;
}

// What the system refused the child.
struct Refusal {
  bool of_namespace;
  int number;  // errno
};

// What the child needs between fork and exec; only async-signal-safe calls are allowed there.
struct ChildSetup {
  int input;
  int output;
  int error;
  int report;  // where it writes a Refusal if it cannot exec; closed by a successful exec
  const int* namespaces;
  std::size_t namespace_count;
  pid_t parent;
  const char* program;
  char* const* arguments;
};

[[noreturn]] void give_up(int report, const Refusal& refusal) {
  [[maybe_unused]] const auto written = write(report, &refusal, sizeof refusal);
  _exit(127);
}

[[noreturn]] void become(const ChildSetup& setup) {
  for (std::size_t i = 0; i < setup.namespace_count; ++i) {
    if (setns(setup.namespaces[i], 0) != 0) {
      give_up(setup.report, {.of_namespace = true, .number = errno});
    }
  }
  // First out of the way of 0 to 3: ours may have those numbers if we were started without them.
  std::array<int, 4> from{setup.input, setup.output, setup.error, setup.report};
  for (int& descriptor : from) descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 4);
  for (int i = 0; i < 3; ++i) dup2(from[static_cast<std::size_t>(i)], i);
  const int report = dup3(from[3], 3, O_CLOEXEC);
  syscall(SYS_close_range, 4u, ~0u, 0u);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  signal(SIGPIPE, SIG_DFL);
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != setup.parent) _exit(127);  // it died before the line above
  execv(setup.program, setup.arguments);
  give_up(report, {.of_namespace = false, .number = errno});
}

// Reads what the child could not do, or nothing if exec closed the pipe.
std::optional<Refusal> read_refusal(int descriptor) {
  Refusal refusal{};
  ssize_t got = 0;
  do {
    got = read(descriptor, &refusal, sizeof refusal);
  } while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof refusal)) return refusal;
  return std::nullopt;
}

proto::Error namespace_refusal(const std::string& program, const std::string& file, int number) {
  return {proto::ErrorKind::kResource,
          fmt::format("cannot run {} in the namespace {}: {}: run this as the user who made the "
                      "namespace",
                      program, file, std::strerror(number))};
}

proto::Error system_refusal(std::string_view what, int number) {
  return {proto::ErrorKind::kResource,
          fmt::format("cannot start a process: {}: {}: close programs or raise the limit "
                      "(ulimit -u, ulimit -n)",
                      what, std::strerror(number))};
}

}  // namespace

std::string describe(const ProcessExit& exit) {
  if (!exit.signalled) return fmt::format("exited with status {}", exit.code);
  const char* name = sigabbrev_np(exit.code);
  return fmt::format("was killed by signal {} (SIG{}{})", exit.code, name == nullptr ? "?" : name,
                     exit.code == SIGKILL ? ", perhaps out of memory" : "");
}

class ChildProcess::Impl : public std::enable_shared_from_this<Impl> {
 public:
  Impl(asio::io_context& loop, Options options)
      : options_(std::move(options)), output_(loop), error_(loop), exit_(loop) {}

  proto::Result<void> start();
  void abandon();
  void signal(int number) const {
    if (id_ > 0 && !reaped_) kill(id_, number);
  }
  [[nodiscard]] pid_t id() const { return id_; }
  [[nodiscard]] const std::deque<std::string>& lines() const { return lines_; }

 private:
  struct Stream {
    asio::posix::stream_descriptor descriptor;
    std::string line;
    explicit Stream(asio::io_context& loop) : descriptor(loop) {}
  };

  [[nodiscard]] proto::Result<Descriptor> launch(Pipe& output, Pipe& error);
  void watch(Stream& stream);
  bool read(Stream& stream);
  void take(Stream& stream, std::string_view bytes);
  void take_line(const Stream& stream, std::string line);
  void drain(Stream& stream);
  void wait_for_exit();
  void reap();

  Options options_;
  Stream output_;
  Stream error_;
  asio::posix::stream_descriptor exit_;
  pid_t id_ = -1;
  bool reaped_ = false;
  bool silent_ = false;  // abandoned, or on_exit has been called: no callback any more
  std::deque<std::string> lines_;
};

// Returns the process's pidfd.
proto::Result<Descriptor> ChildProcess::Impl::launch(Pipe& output, Pipe& error) {
  auto report = make_pipe();
  Descriptor input = file_in_memory(options_.input);
  Descriptor null(open("/dev/null", O_WRONLY | O_CLOEXEC));
  if (!report || input.get() < 0 || null.get() < 0) return system_refusal("descriptors", errno);

  const std::string program = options_.program.string();
  std::vector<Descriptor> namespaces;
  std::vector<int> numbers;
  for (const auto& file : options_.namespaces) {
    namespaces.emplace_back(open(file.c_str(), O_RDONLY | O_CLOEXEC));
    if (namespaces.back().get() < 0) return namespace_refusal(program, file.string(), errno);
    numbers.push_back(namespaces.back().get());
  }
  std::vector<std::string> words{program};
  words.insert(words.end(), options_.arguments.begin(), options_.arguments.end());
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const ChildSetup setup{.input = input.get(),
                         .output = options_.on_output ? output.write.get() : null.get(),
                         .error = error.write.get(),
                         .report = report->write.get(),
                         .namespaces = numbers.data(),
                         .namespace_count = numbers.size(),
                         .parent = getpid(),
                         .program = program.c_str(),
                         .arguments = arguments.data()};
  id_ = fork();
  if (id_ < 0) return system_refusal("fork", errno);
  if (id_ == 0) become(setup);
  report->write.reset();
  if (const auto refusal = read_refusal(report->read.get())) {
    if (refusal->of_namespace) {
      return namespace_refusal(program, options_.namespaces.back().string(), refusal->number);
    }
    return proto::configuration_error(
        fmt::format("cannot run {}: {}", program, std::strerror(refusal->number)));
  }
  Descriptor watch(static_cast<int>(syscall(SYS_pidfd_open, id_, 0u)));
  if (watch.get() < 0) return system_refusal("pidfd_open", errno);
  return watch;
}

proto::Result<void> ChildProcess::Impl::start() {
  auto output = make_pipe();
  auto error = make_pipe();
  if (!output || !error) return system_refusal("pipe", errno);
  auto pidfd = launch(*output, *error);
  if (!pidfd) {
    abandon();
    return pidfd.error();
  }
  output_.descriptor.assign(output->read.release());
  error_.descriptor.assign(error->read.release());
  output_.descriptor.non_blocking(true);
  error_.descriptor.non_blocking(true);
  exit_.assign(pidfd->release());
  watch(output_);
  watch(error_);
  wait_for_exit();
  return {};
}

// Ends what is left of the process, without a callback.
void ChildProcess::Impl::abandon() {
  silent_ = true;
  if (id_ > 0 && !reaped_) {
    kill(id_, SIGKILL);
    while (waitpid(id_, nullptr, 0) < 0 && errno == EINTR) {
    }
    reaped_ = true;
  }
  boost::system::error_code ignored;
  output_.descriptor.close(ignored);
  error_.descriptor.close(ignored);
  exit_.close(ignored);
}

// Waits, then reads without waiting: so no bytes lie in a completed but unhandled read when the
// exit is handled first.
void ChildProcess::Impl::watch(Stream& stream) {
  stream.descriptor.async_wait(
      asio::posix::stream_descriptor::wait_read,
      [self = shared_from_this(), &stream](const boost::system::error_code& error) {
        if (error || self->silent_ || !self->read(stream) || self->silent_) return;
        self->watch(stream);
      });
}

// One chunk. False if there is none now, or never again.
bool ChildProcess::Impl::read(Stream& stream) {
  boost::system::error_code error;
  std::array<char, 4096> chunk{};
  const auto count = stream.descriptor.read_some(asio::buffer(chunk), error);
  take(stream, {chunk.data(), count});
  return !error;
}

void ChildProcess::Impl::take(Stream& stream, std::string_view bytes) {
  const auto longest = &stream == &error_ ? kMaxErrorLineBytes : kMaxOutputLineBytes;
  for (const char byte : bytes) {
    if (byte == '\n') {
      take_line(stream, std::exchange(stream.line, {}));
    } else if (stream.line.size() < longest) {
      stream.line += byte;
    }
  }
}

void ChildProcess::Impl::take_line(const Stream& stream, std::string line) {
  if (silent_) return;
  if (&stream == &error_) {
    lines_.push_back(line);
    if (lines_.size() > kKeptLines) lines_.pop_front();
    if (options_.on_error) options_.on_error(std::move(line));
  } else if (options_.on_output) {
    options_.on_output(std::move(line));
  }
}

// What is in the pipe now: a grandchild may hold it open, so its end is not waited for.
void ChildProcess::Impl::drain(Stream& stream) {
  while (!silent_ && read(stream)) {
  }
  if (!stream.line.empty()) take_line(stream, std::exchange(stream.line, {}));
}

void ChildProcess::Impl::wait_for_exit() {
  exit_.async_wait(asio::posix::stream_descriptor::wait_read,
                   [self = shared_from_this()](const boost::system::error_code& error) {
                     if (!error && !self->silent_) self->reap();
                   });
}

void ChildProcess::Impl::reap() {
  // A pidfd may be reported ready while its process still runs: then nothing is there to reap.
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(id_), &info, WEXITED | WNOHANG) != 0 && errno == EINTR) {
  }
  if (info.si_pid == 0) return wait_for_exit();
  reaped_ = true;
  drain(output_);
  drain(error_);
  if (std::exchange(silent_, true)) return;
  boost::system::error_code ignored;
  output_.descriptor.close(ignored);
  error_.descriptor.close(ignored);
  exit_.close(ignored);
  if (options_.on_exit) {
    options_.on_exit({.signalled = info.si_code != CLD_EXITED, .code = info.si_status});
  }
}

ChildProcess::ChildProcess(std::shared_ptr<Impl> impl) : impl_(std::move(impl)) {}

ChildProcess::~ChildProcess() { impl_->abandon(); }

proto::Result<std::unique_ptr<ChildProcess>> ChildProcess::start(asio::io_context& loop,
                                                                 Options options) {
  auto impl = std::make_shared<Impl>(loop, std::move(options));
  if (auto started = impl->start(); !started) return started.error();
  return std::unique_ptr<ChildProcess>(new ChildProcess(std::move(impl)));
}

pid_t ChildProcess::id() const { return impl_->id(); }

void ChildProcess::signal(int number) { impl_->signal(number); }

std::vector<std::string> ChildProcess::last_error_lines() const {
  return {impl_->lines().begin(), impl_->lines().end()};
}

bool replace_standard_input(const std::string& text) {
  const Descriptor file = file_in_memory(text);
  return file.get() >= 0 && dup2(file.get(), STDIN_FILENO) >= 0;
}

}  // namespace longhaul::daemon
