// Carries packets between the sites' TUN devices, each path shaped by itself.
#pragma once

#include "daemon/wan/namespaces.hpp"
#include "daemon/wan/shaper.hpp"
#include "daemon/wan/trace.hpp"
#include "proto/error.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace longhaul::daemon {

// One thread, one epoll, no lock. Between packets it sleeps until the next one is due; the time at
// which a packet is due is exact; the time at which it is written is as good as the system wakes
// us, which is asked for so much earlier as it is late on average: see Lateness.
class Relay {
 public:
  struct Options {
    std::vector<PathSetup> paths;      // every ordered pair of sites
    std::optional<TracePlayer> trace;  // of these paths
    std::uint64_t seed = 1;            // of losses and jitter
    // A path has changed, for the log.
    std::function<void(std::chrono::nanoseconds at, const PathSetup& path)> on_change = {};
  };

  // How long after they were due packets were delivered; before, where negative.
  struct Lateness {
    std::uint64_t packets = 0;
    std::chrono::nanoseconds sum{0};
    std::chrono::nanoseconds most{0};
  };

  Relay(const SiteNetworks& networks, Options options);
  ~Relay();

  // Carries packets until one of these signals comes; the caller has blocked them. Returns its
  // number; kResource if the system refuses epoll.
  [[nodiscard]] proto::Result<int> run(const std::vector<int>& stop_signals);

  [[nodiscard]] const std::vector<PathSetup>& paths() const { return options_.paths; }
  [[nodiscard]] const Shaper::Counters& counters(std::size_t path) const;
  [[nodiscard]] const Lateness& lateness() const { return lateness_; }
  [[nodiscard]] std::uint64_t refused() const { return refused_; }  // packets, by a device

 private:
  class Packets;
  using Time = std::chrono::nanoseconds;

  [[nodiscard]] Time elapsed() const;  // since run() began
  void change_paths(Time now);
  void deliver(Time now);
  void read_packets(std::size_t site, Time now);
  void learn_wake(Time late);
  [[nodiscard]] std::optional<Time> next() const;

  const SiteNetworks& networks_;
  Options options_;
  std::vector<Shaper> shapers_;                 // of options_.paths
  std::vector<std::vector<std::size_t>> path_;  // index of the path, by [from][to]
  std::unique_ptr<Packets> packets_;
  std::chrono::steady_clock::time_point start_;
  Time ahead_{0};  // how late the system wakes us on average
  Lateness lateness_;
  std::uint64_t refused_ = 0;
};

}  // namespace longhaul::daemon
