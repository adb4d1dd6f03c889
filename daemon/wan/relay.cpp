// The loop: change what is due to change, deliver what is due, sleep, read.
#include "daemon/wan/relay.hpp"

#include "daemon/wan/ip_packet.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>

#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace longhaul::daemon {

namespace {

constexpr std::size_t kReadsPerTurn = 64;  // of one site, so that deliveries are not kept waiting
constexpr std::uint64_t kSignal = ~std::uint64_t{0};

// The next number of a well-mixed sequence (splitmix64, Steele, Lea, Flood 2014).
std::uint64_t mixed(std::uint64_t value) {
  value += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

timespec to_timespec(std::chrono::nanoseconds duration) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(duration);
  return {.tv_sec = seconds.count(), .tv_nsec = (duration - seconds).count()};
}

proto::Error system_refusal(std::string_view what) {
  return {proto::ErrorKind::kResource,
          fmt::format("cannot {}: {}: raise the limit of open files (ulimit -n)", what,
                      std::strerror(errno))};
}

}  // namespace

// Where packets lie, with their prefix. Places of short packets are kept and used again, the latest
// first.
class Relay::Packets {
 public:
  Packets() : arriving_(std::make_unique<unsigned char[]>(kMostBytes)) {}

  // Where the next packet is read to.
  [[nodiscard]] unsigned char* arriving() { return arriving_.get(); }
  [[nodiscard]] std::size_t most_bytes() const { return kMostBytes; }
  // Stores the first bytes of it.
  std::uint32_t store(std::size_t bytes) {
    if (free_.empty()) {
      packets_.emplace_back();
      free_.push_back(static_cast<std::uint32_t>(packets_.size() - 1));
    }
    const auto number = free_.back();
    free_.pop_back();
    auto& packet = packets_[number];
    if (packet.room < bytes) {
      packet.room = std::max(bytes, kShortBytes);
      packet.data.reset(new unsigned char[packet.room]);
    }
    packet.bytes = bytes;
    std::memcpy(packet.data.get(), arriving_.get(), bytes);
    return number;
  }
  [[nodiscard]] const unsigned char* data(std::uint32_t number) const {
    return packets_[number].data.get();
  }
  [[nodiscard]] std::size_t bytes(std::uint32_t number) const { return packets_[number].bytes; }
  void free(std::uint32_t number) {
    auto& packet = packets_[number];
    if (packet.room > kShortBytes) packet = {};
    free_.push_back(number);
  }

 private:
  struct Packet {
    std::unique_ptr<unsigned char[]> data;
    std::size_t room = 0;
    std::size_t bytes = 0;
  };
  static constexpr std::size_t kMostBytes = kPacketPrefixBytes + kMostPacketBytes;
  static constexpr std::size_t kShortBytes = 2048;

  std::unique_ptr<unsigned char[]> arriving_;
  std::vector<Packet> packets_;
  std::vector<std::uint32_t> free_;
};

Relay::Relay(const SiteNetworks& networks, Options options)
    : networks_(networks), options_(std::move(options)), packets_(std::make_unique<Packets>()) {
  const auto sites = networks_.ports.size();
  path_.assign(sites, std::vector<std::size_t>(sites, options_.paths.size()));
  for (std::size_t i = 0; i < options_.paths.size(); ++i) {
    const auto& path = options_.paths[i];
    path_[path.from][path.to] = i;
    shapers_.emplace_back(Shaper::Options{.conditions = path.conditions,
                                          .queue = path.queue,
                                          .seed = mixed(mixed(options_.seed) + i)});
  }
}

Relay::~Relay() = default;

const Shaper::Counters& Relay::counters(std::size_t path) const {
  return shapers_[path].counters();
}

Relay::Time Relay::elapsed() const { return std::chrono::steady_clock::now() - start_; }

proto::Result<int> Relay::run(const std::vector<int>& stop_signals) {
  // Else the system may wake us 50 microseconds late, to save power.
  prctl(PR_SET_TIMERSLACK, 1ul);
  start_ = std::chrono::steady_clock::now();
  const OwnedDescriptor poll(epoll_create1(EPOLL_CLOEXEC));
  sigset_t set;
  sigemptyset(&set);
  for (const int number : stop_signals) sigaddset(&set, number);
  const OwnedDescriptor signals(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  const auto watch = [&](int descriptor, std::uint64_t name) {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = name}};
    return epoll_ctl(poll.get(), EPOLL_CTL_ADD, descriptor, &event) == 0;
  };
  bool watched = watch(signals.get(), kSignal);
  for (std::size_t i = 0; i < networks_.ports.size(); ++i) {
    watched = watched && watch(networks_.ports[i].tunnel.get(), i);
  }
  if (!watched) return system_refusal("wait for packets");

  std::array<epoll_event, kMaxSites + 1> events{};
  while (true) {
    change_paths(elapsed());
    deliver(elapsed() + ahead_);
    const auto due = next();
    const auto before = elapsed();
    const auto pause = std::max(Time(0), due.value_or(Time(0)) - ahead_ - before);
    const timespec wait = to_timespec(pause);
    const int count = epoll_pwait2(poll.get(), events.data(), static_cast<int>(events.size()),
                                   due ? &wait : nullptr, nullptr);
    if (count < 0 && errno != EINTR) return system_refusal("wait for packets");
    const auto woken = elapsed();
    if (count == 0 && pause > Time(0)) learn_wake(woken - before - pause);
    // A packet that has woken us came about so much earlier, but not before we slept.
    const auto arrived = std::max(before, woken - ahead_);
    for (int i = 0; i < count; ++i) {
      const auto name = events[static_cast<std::size_t>(i)].data.u64;
      if (name != kSignal) {
        read_packets(name, arrived);
        continue;
      }
      signalfd_siginfo info{};
      if (read(signals.get(), &info, sizeof info) == static_cast<ssize_t>(sizeof info)) {
        return static_cast<int>(info.ssi_signo);
      }
    }
  }
}

std::optional<Relay::Time> Relay::next() const {
  std::optional<Time> first;
  const auto consider = [&](std::optional<Time> time) {
    if (time && (!first || *time < *first)) first = time;
  };
  if (options_.trace) consider(options_.trace->next());
  for (const auto& shaper : shapers_) consider(shaper.next());
  return first;
}

void Relay::change_paths(Time now) {
  if (!options_.trace) return;
  while (const auto at = options_.trace->next()) {
    if (*at > now) return;
    // Not the moment at which the change was due: packets may have been offered after it.
    for (const auto& step : options_.trace->take(now)) {
      shapers_[step.path].change(now, step.conditions);
      options_.paths[step.path].conditions = step.conditions;
      if (options_.on_change) options_.on_change(*at, options_.paths[step.path]);
    }
  }
}

void Relay::learn_wake(Time late) {
  constexpr Time kMostAhead = std::chrono::microseconds(100);
  constexpr int kShare = 16;  // of the newest in the mean
  ahead_ = std::clamp(ahead_ + (late - ahead_) / kShare, Time(0), kMostAhead);
}

void Relay::deliver(Time now) {
  for (std::size_t i = 0; i < shapers_.size(); ++i) {
    while (const auto delivery = shapers_[i].take(now)) {
      const auto number = delivery->packet.number;
      if (!delivery->lost) {
        const auto& port = networks_.ports[options_.paths[i].to];
        const auto late = elapsed() - delivery->due;
        if (write(port.tunnel.get(), packets_->data(number), packets_->bytes(number)) < 0) {
          ++refused_;
        }
        ++lateness_.packets;
        lateness_.sum += late;
        lateness_.most = std::max(lateness_.most, late);
      }
      packets_->free(number);
    }
  }
}

void Relay::read_packets(std::size_t site, Time now) {
  const int tunnel = networks_.ports[site].tunnel.get();
  for (std::size_t i = 0; i < kReadsPerTurn; ++i) {
    const auto got = read(tunnel, packets_->arriving(), packets_->most_bytes());
    if (got <= 0) return;
    const TunnelPacket packet(packets_->arriving(), static_cast<std::size_t>(got));
    const auto to = destination_site(packet, networks_.ports.size());
    if (!to || *to == site) continue;
    const auto number = packets_->store(packet.size());
    const auto bytes = static_cast<std::uint32_t>(wire_bytes(packet));
    if (!shapers_[path_[site][*to]].offer(now, {.number = number, .bytes = bytes})) {
      packets_->free(number);
    }
  }
}

}  // namespace longhaul::daemon
