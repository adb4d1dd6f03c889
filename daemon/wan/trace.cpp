// The keys of a trace file, and its changes one after the other.
#include "daemon/wan/trace.hpp"

#include "daemon/configuration/table.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace longhaul::daemon {

namespace {

constexpr double kLongestS = 1e6;
constexpr double kLongestMs = 60'000.0;

bool is_site_pattern(std::string_view text) { return text == "*" || is_name(text); }
constexpr Text kSites{"a site's name, or \"*\" for every site", is_site_pattern};

constexpr Presence kUnchanged = or_else("it stays as it is");

const Table<TraceChange>& change_table() {
  static const Table<TraceChange> table(
      "a change",
      {{"at_s", Real{0.0, kLongestS}, required, &TraceChange::at_s,
        "seconds since the network came up, or since the repetition began"},
       {"from", kSites, otherwise("\"*\""), &TraceChange::from, "the site that sends"},
       {"to", kSites, otherwise("\"*\""), &TraceChange::to, "the site that receives"},
       {"rate_mbps", Real{1e-3, 1e6}, kUnchanged, &TraceChange::rate_mbps, "megabits a second"},
       {"rate_factor", Real{1e-6, 1e6}, kUnchanged, &TraceChange::rate_factor,
        "factor on the rate that the network file gives"},
       {"delay_ms", Real{0.0, kLongestMs}, kUnchanged, &TraceChange::delay_ms, "one way"},
       {"jitter_ms", Real{0.0, kLongestMs}, kUnchanged, &TraceChange::jitter_ms,
        "the delay varies by up to this, both ways"},
       {"loss", Real{0.0, 1.0}, kUnchanged, &TraceChange::loss, "share of packets"}});
  return table;
}

const Table<Trace>& trace_table() {
  static const Table<Trace> table(
      "the trace",
      {{"repeat_s", Real{1e-3, kLongestS}, or_else("the trace plays once"), &Trace::repeat_s,
        "seconds after which it begins anew"},
       {"changes", change_table(), required, &Trace::changes, "what changes, and when"}});
  return table;
}

void check(Reading& reading, Trace& trace) {
  for (std::size_t i = 0; i < trace.changes.size(); ++i) {
    const auto& change = trace.changes[i];
    const auto path = fmt::format("changes[{}]", i);
    if (change.rate_mbps && change.rate_factor) {
      reading.error_at(path, path + " must have one of rate_mbps and rate_factor, not both");
    }
    if (trace.repeat_s && reading.is_good(path) && change.at_s >= *trace.repeat_s) {
      reading.error_at(path + ".at_s", fmt::format("{}.at_s must be before repeat_s", path));
    }
  }
  std::ranges::stable_sort(trace.changes, {}, &TraceChange::at_s);
}

TracePlayer::Time seconds(double value) { return TracePlayer::Time(std::llround(value * 1e9)); }

}  // namespace

Checked<Trace> load_trace(const std::filesystem::path& file) {
  return load_file<Trace>(file, trace_table(), check);
}

proto::Result<TracePlayer> TracePlayer::open(Trace trace, std::vector<std::string> sites,
                                             std::vector<PathSetup> paths, const WanScale& scale) {
  for (const auto& change : trace.changes) {
    for (const auto& site : {change.from, change.to}) {
      if (site != "*" && std::ranges::find(sites, site) == sites.end()) {
        return proto::configuration_error(
            fmt::format("the trace changes paths of {}, which is none of the sites {}", site,
                        fmt::join(sites, ", ")));
      }
    }
  }
  TracePlayer player;
  player.trace_ = std::move(trace);
  player.sites_ = std::move(sites);
  for (const auto& path : paths) player.present_.push_back(path.conditions);
  player.paths_ = std::move(paths);
  player.scale_ = scale;
  return player;
}

std::optional<TracePlayer::Time> TracePlayer::next() const {
  if (next_ == trace_.changes.size()) return std::nullopt;
  const double start = trace_.repeat_s.value_or(0.0) * static_cast<double>(round_);
  return seconds(start + trace_.changes[next_].at_s);
}

std::vector<TracePlayer::Step> TracePlayer::take(Time now) {
  const auto due = next();
  if (!due || *due > now) return {};
  const auto& change = trace_.changes[next_];
  std::vector<Step> steps;
  for (std::size_t i = 0; i < paths_.size(); ++i) {
    if (!concerns(change, paths_[i])) continue;
    apply(change, i);
    steps.push_back({i, present_[i]});
  }
  if (++next_ == trace_.changes.size() && trace_.repeat_s) {
    next_ = 0;
    ++round_;
  }
  return steps;
}

bool TracePlayer::concerns(const TraceChange& change, const PathSetup& path) const {
  return (change.from == "*" || change.from == sites_[path.from]) &&
         (change.to == "*" || change.to == sites_[path.to]);
}

void TracePlayer::apply(const TraceChange& change, std::size_t path) {
  PathConditions given;
  given.rate_bits_per_s = change.rate_mbps.value_or(0.0) * 1e6;
  given.delay = seconds(change.delay_ms.value_or(0.0) / 1e3);
  given.jitter = seconds(change.jitter_ms.value_or(0.0) / 1e3);
  given = scaled(given, scale_);
  auto& present = present_[path];
  if (change.rate_mbps) present.rate_bits_per_s = given.rate_bits_per_s;
  if (change.rate_factor) {
    present.rate_bits_per_s = paths_[path].conditions.rate_bits_per_s * *change.rate_factor;
  }
  if (change.delay_ms) present.delay = given.delay;
  if (change.jitter_ms) present.jitter = given.jitter;
  if (change.loss) present.loss = *change.loss;
}

}  // namespace longhaul::daemon
