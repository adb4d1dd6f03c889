// How the paths of a wide-area network change over time, as a file says.
#pragma once

#include "daemon/configuration/diagnostic.hpp"
#include "daemon/wan/network_file.hpp"
#include "proto/error.hpp"

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace longhaul::daemon {

// One line of the trace. What it does not name stays as it is.
struct TraceChange {
  double at_s = 0.0;       // since the network came up, or since the repetition began
  std::string from = "*";  // a site, or "*" for every one
  std::string to = "*";
  std::optional<double> rate_mbps;
  std::optional<double> rate_factor;  // of the network file's rate; not together with rate_mbps
  std::optional<double> delay_ms;
  std::optional<double> jitter_ms;
  std::optional<double> loss;
};

// A YAML file:
//
//   repeat_s: 10                # begins anew every 10 s; without it the trace plays once
//   changes:
//     - {at_s: 0, rate_factor: 1}
//     - {at_s: 5, from: oregon, to: virginia, rate_mbps: 8, delay_ms: 90, loss: 0.001}
struct Trace {
  std::optional<double> repeat_s;
  std::vector<TraceChange> changes;  // by time, in the file's order where times are equal
};

[[nodiscard]] Checked<Trace> load_trace(const std::filesystem::path& file);

// Who asks for the changes one after the other gets what each path becomes.
class TracePlayer {
 public:
  using Time = std::chrono::nanoseconds;  // since the network came up

  // A path that changes now.
  struct Step {
    std::size_t path = 0;  // index into the paths
    PathConditions conditions;
  };

  // kConfiguration if a change names a site that is none of `sites`.
  [[nodiscard]] static proto::Result<TracePlayer> open(Trace trace, std::vector<std::string> sites,
                                                       std::vector<PathSetup> paths,
                                                       const WanScale& scale);

  [[nodiscard]] std::optional<Time> next() const;  // when the next change is due
  // The next change if it is due by now: one step for each path that it is about.
  [[nodiscard]] std::vector<Step> take(Time now);

 private:
  TracePlayer() = default;
  [[nodiscard]] bool concerns(const TraceChange& change, const PathSetup& path) const;
  void apply(const TraceChange& change, std::size_t path);

  Trace trace_;
  std::vector<std::string> sites_;
  std::vector<PathSetup> paths_;         // as they are without the trace
  std::vector<PathConditions> present_;  // of each path
  WanScale scale_;
  std::size_t next_ = 0;     // index into the changes
  std::uint64_t round_ = 0;  // how often all have been played
};

}  // namespace longhaul::daemon
