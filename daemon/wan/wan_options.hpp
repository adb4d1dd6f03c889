// What a user asks of the wide-area network, and the files that it names, read and checked.
#pragma once

#include "daemon/wan/network_file.hpp"
#include "daemon/wan/trace.hpp"
#include "proto/error.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace longhaul::daemon {

struct WanOptions {
  std::filesystem::path network;
  std::vector<std::string> sites;
  WanScale scale;
  std::filesystem::path trace;  // empty: none
  std::uint64_t seed = 1;
};

struct WanPlan {
  std::vector<PathSetup> paths;
  std::optional<TracePlayer> trace;
  bool loses_packets = false;  // some path, at some time, at random
};

// kConfiguration: each error of the files on a line of its own.
[[nodiscard]] proto::Result<WanPlan> plan_wan(const WanOptions& options);

// The same as arguments of longhaul-wan, with absolute paths.
[[nodiscard]] std::vector<std::string> to_arguments(const WanOptions& options);

}  // namespace longhaul::daemon
