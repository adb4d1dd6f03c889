// A thread that looks at the process's processor clock and stops the process between its turns.
#include "daemon/host/cpu_share.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <ctime>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string_view>
#include <thread>
#include <utility>

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace longhaul::daemon {
namespace {

using Duration = ShareBudget::Duration;

constexpr Duration kPeriod = std::chrono::milliseconds(10);
// Between looks at a process that is about to have used its share.
constexpr Duration kLeastPause = std::chrono::microseconds(100);
// What may be owed from earlier periods, in quotas.
constexpr int kMostOwed = 10;

proto::Error refusal(std::string_view what) {
  return {proto::ErrorKind::kResource,
          fmt::format("cannot hold a worker to its cpu_share: {}: {}", what, std::strerror(errno))};
}

}  // namespace

ShareBudget::ShareBudget(const CpuLimit& limit, Duration period, TimePoint now, Duration used)
    : period_(period),
      quota_(static_cast<Duration::rep>(limit.share * limit.threads *
                                        static_cast<double>(period.count()))),
      threads_(limit.threads),
      end_(now + period),
      allowed_(used + quota_) {}

ShareBudget::Order ShareBudget::next(TimePoint now, Duration used) {
  if (now >= end_) {
    const auto periods = (now - end_) / period_ + 1;
    end_ += periods * period_;
    // At most this period's share; less if an earlier one is still to be paid for.
    allowed_ = std::min(allowed_ + periods * quota_, used + quota_);
    allowed_ = std::max(allowed_, used - kMostOwed * quota_);
  }
  if (used >= allowed_) return {.run = false, .look_again = end_};
  // All threads computing, this is how soon the share may be used up.
  const Duration soonest(
      static_cast<Duration::rep>(static_cast<double>((allowed_ - used).count()) / threads_));
  return {.run = true, .look_again = std::min(end_, now + std::max(soonest, kLeastPause))};
}

class CpuShare::Impl {
 public:
  Impl(int process, clockid_t clock, const CpuLimit& limit)
      : process_(process), clock_(clock), limit_(limit) {}
  ~Impl() {
    thread_.request_stop();
    if (thread_.joinable()) thread_.join();
    close(process_);
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  void start() {
    thread_ = std::jthread([this](const std::stop_token& stop) { hold(stop); });
  }

 private:
  [[nodiscard]] std::optional<Duration> used() const {
    timespec time{};
    if (clock_gettime(clock_, &time) != 0) return std::nullopt;
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  }
  [[nodiscard]] bool send(int signal) const {
    return syscall(SYS_pidfd_send_signal, process_, signal, nullptr, 0u) == 0;
  }

  void hold(const std::stop_token& stop) {
    prctl(PR_SET_TIMERSLACK, 1UL);  // in ns; else every wait is 50 us longer
    const auto first = used();
    if (!first) return;
    ShareBudget budget(limit_, kPeriod, std::chrono::steady_clock::now(), *first);
    bool running = true;
    while (!stop.stop_requested()) {
      const auto now_used = used();
      if (!now_used) break;  // it is gone
      const auto order = budget.next(std::chrono::steady_clock::now(), *now_used);
      if (order.run != running && !send(order.run ? SIGCONT : SIGSTOP)) break;
      running = order.run;
      std::unique_lock lock(mutex_);
      wake_.wait_until(lock, stop, order.look_again, [] { return false; });
    }
    if (!running) static_cast<void>(send(SIGCONT));
  }

  const int process_;  // pidfd: never another process's, even after this one's end
  const clockid_t clock_;
  const CpuLimit limit_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  std::jthread thread_;
};

CpuShare::CpuShare(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CpuShare::~CpuShare() = default;

proto::Result<std::unique_ptr<CpuShare>> CpuShare::hold(pid_t process, const CpuLimit& limit) {
  clockid_t clock{};
  if (const int error = clock_getcpuclockid(process, &clock); error != 0) {
    errno = error;
    return refusal("its processor clock");
  }
  const auto descriptor = static_cast<int>(syscall(SYS_pidfd_open, process, 0u));
  if (descriptor < 0) return refusal("pidfd_open");
  auto impl = std::make_unique<Impl>(descriptor, clock, limit);
  impl->start();
  return std::unique_ptr<CpuShare>(new CpuShare(std::move(impl)));
}

}  // namespace longhaul::daemon
