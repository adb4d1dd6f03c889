// Reads the files and fits them to the chosen sites.
#include "daemon/wan/wan_options.hpp"

#include "daemon/wan/namespaces.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace longhaul::daemon {

proto::Result<WanPlan> plan_wan(const WanOptions& options) {
  if (options.sites.empty() || options.sites.size() > kMaxSites) {
    return proto::configuration_error(
        fmt::format("{} sites: a network has 1 to {}", options.sites.size(), kMaxSites));
  }
  const auto network = load_network(options.network);
  if (!network) return proto::configuration_error(to_string(network.error()));
  auto paths = choose_paths(*network, options.sites, options.scale);
  if (!paths) return with_context(options.network.string(), paths.error());
  WanPlan plan{.paths = std::move(*paths), .trace = std::nullopt};
  plan.loses_packets = std::ranges::any_of(
      plan.paths, [](const PathSetup& path) { return path.conditions.loss > 0.0; });
  if (options.trace.empty()) return plan;
  auto trace = load_trace(options.trace);
  if (!trace) return proto::configuration_error(to_string(trace.error()));
  for (const auto& change : trace->changes) {
    plan.loses_packets = plan.loses_packets || change.loss.value_or(0.0) > 0.0;
  }
  auto player = TracePlayer::open(std::move(*trace), options.sites, plan.paths, options.scale);
  if (!player) return with_context(options.trace.string(), player.error());
  plan.trace = std::move(*player);
  return plan;
}

std::vector<std::string> to_arguments(const WanOptions& options) {
  std::vector<std::string> words{std::filesystem::absolute(options.network).string(),
                                 "--sites",
                                 fmt::format("{}", fmt::join(options.sites, ",")),
                                 "--bandwidth-scale",
                                 fmt::format("{}", options.scale.bandwidth),
                                 "--delay-scale",
                                 fmt::format("{}", options.scale.delay),
                                 "--wan-seed",
                                 fmt::format("{}", options.seed)};
  if (!options.trace.empty()) {
    words.insert(words.end(), {"--trace", std::filesystem::absolute(options.trace).string()});
  }
  return words;
}

}  // namespace longhaul::daemon
