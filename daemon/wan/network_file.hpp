// The table of a wide-area network: which sites there are, and what the paths between them are
// like.
#pragma once

#include "daemon/configuration/diagnostic.hpp"
#include "daemon/wan/conditions.hpp"
#include "proto/error.hpp"

#include <chrono>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace longhaul::daemon {

// One direction of a pair as the file has it.
struct PathSettings {
  PathConditions conditions;
  std::optional<std::chrono::nanoseconds> queue;  // empty: see PathSetup
};

// Comma-separated values with a line of column names; '#' begins a comment line. Columns in any
// order: `site_a` and `site_b` (the row holds for both directions) or `from` and `to` (for one);
// `delay_ms`, one way; `bandwidth_gbps` or `bandwidth_mbps`; and, if wanted, `jitter_ms`, `loss`
// (0 to 1) and `queue_ms`. A pair of a site with itself is what lies between two places of one
// region. No direction may occur twice.
struct NetworkFile {
  std::map<std::pair<std::string, std::string>, PathSettings> paths;  // by (from, to)

  [[nodiscard]] std::set<std::string> sites() const;
};

[[nodiscard]] Checked<NetworkFile> parse_network(std::string_view text, const std::string& file);
[[nodiscard]] Checked<NetworkFile> load_network(const std::filesystem::path& file);

struct WanScale {
  double bandwidth = 1.0;  // factor on every rate, of the trace too; above 0
  double delay = 1.0;      // factor on every delay and jitter, of the trace too; at least 0
};

// One direction between two of the chosen sites, scaled.
struct PathSetup {
  std::size_t from = 0;  // indices into the chosen sites
  std::size_t to = 0;
  PathConditions conditions;
  // As the file says, else the pair's round trip, at least kShortestQueue: room for one bandwidth
  // times round trip, with which one connection of TCP can fill the path.
  std::chrono::nanoseconds queue{0};
};
inline constexpr std::chrono::milliseconds kShortestQueue{25};

// Every ordered pair of the places in `sites`, by (from, to). A site named several times is several
// places. kConfiguration if the file lacks a pair: the message names it.
[[nodiscard]] proto::Result<std::vector<PathSetup>> choose_paths(
    const NetworkFile& network, const std::vector<std::string>& sites, const WanScale& scale);

[[nodiscard]] PathConditions scaled(PathConditions conditions, const WanScale& scale);

}  // namespace longhaul::daemon
