// What a share of processor time comes to: by the rules, and for processes that compute.
#include "daemon/host/cpu_share.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <ctime>
#include <mutex>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

using namespace longhaul::daemon;
using namespace std::chrono_literals;
using Duration = ShareBudget::Duration;

namespace {

// A process whose threads do nothing but compute.
class BusyProcess {
 public:
  explicit BusyProcess(int threads) : id_(fork()) {
    REQUIRE(id_ >= 0);
    if (id_ > 0) return;
    for (int i = 1; i < threads; ++i) std::thread([] { compute(); }).detach();
    compute();
  }
  ~BusyProcess() {
    kill(id_, SIGKILL);
    waitpid(id_, nullptr, 0);
  }
  BusyProcess(const BusyProcess&) = delete;
  BusyProcess& operator=(const BusyProcess&) = delete;

  [[nodiscard]] pid_t id() const { return id_; }
  [[nodiscard]] double used_s() const {
    clockid_t clock{};
    timespec time{};
    REQUIRE(clock_getcpuclockid(id_, &clock) == 0);
    REQUIRE(clock_gettime(clock, &time) == 0);
    return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
  }

 private:
  [[noreturn]] static void compute() {
    volatile unsigned sum = 0;
    while (true) sum = sum + 1;
  }
  pid_t id_;
};

// Processors that a process takes while it is watched, and what a thread that nobody holds gets.
struct Watched {
  double held = 0.0;
  double free = 0.0;
};

Watched watch(const BusyProcess& held, const BusyProcess& free, std::chrono::milliseconds time) {
  const auto start = std::chrono::steady_clock::now();
  const double held_s = held.used_s();
  const double free_s = free.used_s();
  std::mutex mutex;
  std::condition_variable never;
  std::unique_lock lock(mutex);
  never.wait_until(lock, start + time, [] { return false; });
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start;
  return {(held.used_s() - held_s) / passed.count(), (free.used_s() - free_s) / passed.count()};
}

// Never more than a tenth above its share. On a machine with processors to spare no more than a
// tenth below; on a busy one no process gets what it may use, and it gets as much as others do.
void check_share(const BusyProcess& process, double processors) {
  const BusyProcess free(1);
  Watched seen;
  for (int i = 0; i < 5 && seen.free < 0.95; ++i) {
    seen = watch(process, free, std::chrono::milliseconds(500));
    CAPTURE(seen.free);
    CHECK(seen.held <= 1.1 * processors);
  }
  CAPTURE(seen.free);
  CHECK(seen.held >=
        (seen.free >= 0.95 ? 0.9 * processors : 0.3 * std::min(processors, seen.free)));
}

bool is_stopped(pid_t process) {
  siginfo_t info{};
  return waitid(P_PID, static_cast<id_t>(process), &info, WSTOPPED | WNOHANG | WNOWAIT) == 0 &&
         info.si_pid == process;
}

}  // namespace

TEST_CASE("share budget: a process runs until its share of the period is used, then waits") {
  const TimePoint start{1s};
  ShareBudget budget({.share = 0.5, .threads = 2}, 10ms, start, 100ms);
  auto order = budget.next(start, 100ms);  // 10 ms of processor time, for 10 ms of two threads
  CHECK(order.run);
  CHECK(order.look_again == start + 5ms);
  order = budget.next(start + 5ms, 106ms);  // one thread paused now and then
  CHECK(order.run);
  CHECK(order.look_again == start + 7ms);
  order = budget.next(start + 7ms, 110ms);
  CHECK_FALSE(order.run);
  CHECK(order.look_again == start + 10ms);
  CHECK(budget.next(start + 10ms, 110ms).run);
}

TEST_CASE("share budget: what is unused is lost, what is overdrawn is paid for") {
  const TimePoint start{1s};
  ShareBudget budget({.share = 0.5, .threads = 1}, 10ms, start, 0ms);
  // Idle for a second: the next period has its own 5 ms and no more.
  auto order = budget.next(start + 1s, 0ms);
  CHECK(order.run);
  CHECK(order.look_again == start + 1s + 5ms);
  // 8 ms used in it: 3 of the next period's 5 ms are gone.
  order = budget.next(start + 1s + 8ms, 8ms);
  CHECK_FALSE(order.run);
  order = budget.next(start + 1s + 10ms, 8ms);
  CHECK(order.run);
  CHECK(order.look_again == start + 1s + 12ms);
  // Something like a suspended supervisor: the debt has a bound, ten quotas.
  order = budget.next(start + 2s, 2s);
  CHECK_FALSE(order.run);
  CHECK_FALSE(budget.next(start + 2s + 90ms, 2s).run);
  CHECK(budget.next(start + 2s + 120ms, 2s).run);
}

TEST_CASE("cpu share: a process gets its share within a tenth, and all again afterwards") {
  for (const double share : {0.25, 0.5, 0.8}) {
    CAPTURE(share);
    const BusyProcess process(1);
    auto held = CpuShare::hold(process.id(), {.share = share, .threads = 1});
    REQUIRE(held.has_value());
    check_share(process, share);
    held->reset();
    CHECK_FALSE(is_stopped(process.id()));
  }
}

TEST_CASE("cpu share: of two threads it is the share of both together") {
  const BusyProcess process(2);
  const auto held = CpuShare::hold(process.id(), {.share = 0.3, .threads = 2});
  REQUIRE(held.has_value());
  check_share(process, 0.6);
}

TEST_CASE("cpu share: a process that ends while it is held does no harm") {
  std::unique_ptr<CpuShare> held;
  {
    const BusyProcess process(1);
    auto started = CpuShare::hold(process.id(), {.share = 0.1, .threads = 1});
    REQUIRE(started.has_value());
    held = std::move(*started);
  }
  held.reset();
  CHECK_FALSE(CpuShare::hold(-1, {}).has_value());
}
