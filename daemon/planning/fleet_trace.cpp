// Factors on each path, one round of the trace after the other.
#include "daemon/planning/fleet_trace.hpp"

#include "proto/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace longhaul::daemon {
namespace {

using scheduler::FleetPath;
using scheduler::RateChange;

// The trace's lines that are about a path, as factors on its rate.
proto::Result<std::vector<RateChange>> changes_of(const Trace& trace, const FleetModel& model,
                                                  std::size_t from, std::size_t to,
                                                  const FleetPath& path) {
  const auto about = [&](const std::string& pattern, std::size_t site) {
    return pattern == "*" || pattern == model.fleet.sites[site].name;
  };
  std::vector<RateChange> changes;
  for (const TraceChange& change : trace.changes) {
    if (!about(change.from, from) || !about(change.to, to)) continue;
    if (change.rate_factor) {
      changes.push_back({.at_s = change.at_s, .factor = *change.rate_factor});
    } else if (change.rate_mbps && !std::isfinite(path.bytes_per_s)) {
      return proto::configuration_error(fmt::format(
          "the trace gives the path from {} to {} a rate, and the fleet gives it none "
          "that it could be a part of; name a network",
          proto::quoted(model.fleet.sites[from].name), proto::quoted(model.fleet.sites[to].name)));
    } else if (change.rate_mbps) {
      changes.push_back(
          {.at_s = change.at_s,
           .factor = *change.rate_mbps * model.bytes_per_s_of_mbps / path.bytes_per_s});
    }
  }
  return changes;
}

void play(const std::vector<RateChange>& once, const Trace& trace, FleetPath& path) {
  if (once.empty()) return;
  double most = 1.0;
  for (const RateChange& change : once) most = std::max(most, change.factor);
  path.bytes_per_s *= most;
  if (most > 1.0) path.changes.push_back({.at_s = 0.0, .factor = 1.0 / most});
  double begin_s = 0.0;
  do {
    for (const RateChange& change : once) {
      path.changes.push_back({.at_s = begin_s + change.at_s, .factor = change.factor / most});
    }
    begin_s += trace.repeat_s.value_or(kTraceSpanS);
  } while (begin_s < kTraceSpanS && path.changes.size() + once.size() <= kTraceChanges);
}

proto::Result<void> check_changes(const Trace& trace, const scheduler::Fleet& fleet) {
  for (const TraceChange& change : trace.changes) {
    if (change.delay_ms || change.jitter_ms || change.loss) {
      return proto::configuration_error(fmt::format(
          "the trace changes delay, jitter or loss at {} s; only rates can be simulated",
          change.at_s));
    }
    for (const std::string& name : {change.from, change.to}) {
      if (name != "*" &&
          std::ranges::find(fleet.sites, name, &scheduler::Site::name) == fleet.sites.end()) {
        return proto::configuration_error(fmt::format(
            "the trace changes paths of {}, which is no site of the fleet", proto::quoted(name)));
      }
    }
  }
  return {};
}

}  // namespace

proto::Result<void> play_trace(const Trace& trace, FleetModel& model) {
  scheduler::Fleet& fleet = model.fleet;
  if (auto good = check_changes(trace, fleet); !good) return good;
  const std::size_t sites = fleet.sites.size();
  for (std::size_t from = 0; from < sites; ++from) {
    for (std::size_t to = 0; to < sites; ++to) {
      if (from == to) continue;
      FleetPath& path = fleet.between_sites[from * sites + to];
      const auto once = changes_of(trace, model, from, to, path);
      if (!once) return once.error();
      play(*once, trace, path);
    }
  }
  for (auto& [hosts, path] : fleet.between_hosts) {
    const std::size_t from = fleet.hosts[hosts.first].site;
    const std::size_t to = fleet.hosts[hosts.second].site;
    if (from == to) continue;
    const auto once = changes_of(trace, model, from, to, path);
    if (!once) return once.error();
    play(*once, trace, path);
  }
  return {};
}

}  // namespace longhaul::daemon
