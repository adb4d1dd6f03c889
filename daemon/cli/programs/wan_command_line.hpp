// The options that `longhaul run --wan` and longhaul-wan share, and what the one says to the other.
#pragma once

#include "daemon/wan/wan_options.hpp"
#include "proto/error.hpp"

#include <CLI/CLI.hpp>

#include <string>
#include <string_view>
#include <vector>

namespace longhaul::daemon {

// --sites, --bandwidth-scale, --delay-scale, --trace and --wan-seed; returns that of --sites.
CLI::Option* add_wan_options(CLI::App& command, WanOptions& options);

// How a process comes into a site. The paths lead to namespaces as long as longhaul-wan lives.
struct SiteEntrance {
  std::string name;
  std::string address;                  // of every process at the site
  std::vector<std::string> namespaces;  // to be entered in this order
};

// The first line that longhaul-wan prints:
// {"sites": [{"name": "oregon", "address": "10.87.0.1", "namespace": "/proc/7/fd/4"}, ...],
//  "user_namespace": "/proc/7/ns/user" or null}
[[nodiscard]] proto::Result<std::vector<SiteEntrance>> parse_entrances(std::string_view line);

}  // namespace longhaul::daemon
