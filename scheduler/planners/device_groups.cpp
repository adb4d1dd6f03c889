// Calls igraph; where that refuses, the sites are the groups.
#include "scheduler/planners/device_groups.hpp"

#include <igraph/igraph.h>

#include <algorithm>
#include <cmath>
#include <map>

namespace longhaul::scheduler {
namespace {

constexpr igraph_integer_t kSeed = 4;

double slower_direction(const Fleet& fleet, std::size_t a, std::size_t b) {
  return std::min(fleet.path(a, b).bytes_per_s, fleet.path(b, a).bytes_per_s);
}

// What igraph gives back to be freed.
struct Graph {
  igraph_t graph{};
  bool made = false;
  Graph() = default;
  Graph(const Graph&) = delete;
  Graph& operator=(const Graph&) = delete;
  ~Graph() {
    if (made) igraph_destroy(&graph);
  }
};
struct Weights {
  igraph_vector_t values{};
  bool made = false;
  explicit Weights(std::size_t count)
      : made(igraph_vector_init(&values, static_cast<igraph_integer_t>(count)) == IGRAPH_SUCCESS) {}
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;
  ~Weights() {
    if (made) igraph_vector_destroy(&values);
  }
};
struct Membership {
  igraph_vector_int_t values{};
  bool made = igraph_vector_int_init(&values, 0) == IGRAPH_SUCCESS;
  Membership() = default;
  Membership(const Membership&) = delete;
  Membership& operator=(const Membership&) = delete;
  ~Membership() {
    if (made) igraph_vector_int_destroy(&values);
  }
};

// Errors come back as codes meanwhile, instead of ending the process.
class Quietly {
 public:
  Quietly() : before_(igraph_set_error_handler(igraph_error_handler_ignore)) {}
  Quietly(const Quietly&) = delete;
  Quietly& operator=(const Quietly&) = delete;
  ~Quietly() { igraph_set_error_handler(before_); }

 private:
  igraph_error_handler_t* before_;
};

// The group of each device, or nothing.
std::vector<std::size_t> communities(const Fleet& fleet, const std::vector<std::size_t>& devices) {
  const std::size_t count = devices.size();
  double fastest = 0.0;
  for (std::size_t a = 0; a < count; ++a) {
    for (std::size_t b = a + 1; b < count; ++b) {
      const double rate = slower_direction(fleet, devices[a], devices[b]);
      if (std::isfinite(rate)) fastest = std::max(fastest, rate);
    }
  }
  const double unlimited = fastest > 0.0 ? 10.0 * fastest : 1.0;
  const Quietly quietly;
  Graph graph;
  Weights weights(count * (count - 1) / 2);
  Membership membership;
  if (!weights.made || !membership.made) return {};
  // Vertices a < b in the order that a complete undirected graph gives its edges is igraph's own
  // affair: each edge is asked for its ends.
  graph.made = igraph_full(&graph.graph, static_cast<igraph_integer_t>(count), IGRAPH_UNDIRECTED,
                           IGRAPH_NO_LOOPS) == IGRAPH_SUCCESS;
  if (!graph.made) return {};
  for (igraph_integer_t edge = 0; edge < igraph_ecount(&graph.graph); ++edge) {
    const auto a = static_cast<std::size_t>(IGRAPH_FROM(&graph.graph, edge));
    const auto b = static_cast<std::size_t>(IGRAPH_TO(&graph.graph, edge));
    const double rate = slower_direction(fleet, devices[a], devices[b]);
    VECTOR(weights.values)[edge] = std::isfinite(rate) ? rate / unlimited : 1.0;
  }
  igraph_rng_seed(igraph_rng_default(), kSeed);
  if (igraph_community_multilevel(&graph.graph, &weights.values, 1.0, &membership.values, nullptr,
                                  nullptr) != IGRAPH_SUCCESS) {
    return {};
  }
  std::vector<std::size_t> groups;
  for (std::size_t i = 0; i < count; ++i) {
    groups.push_back(
        static_cast<std::size_t>(VECTOR(membership.values)[static_cast<igraph_integer_t>(i)]));
  }
  return groups;
}

}  // namespace

std::vector<std::vector<std::size_t>> bandwidth_communities(
    const Fleet& fleet, const std::vector<std::size_t>& devices) {
  if (devices.size() < 2) return {devices};
  std::vector<std::size_t> group_of = communities(fleet, devices);
  if (group_of.empty()) {
    for (const std::size_t device : devices) group_of.push_back(fleet.site_of(device));
  }
  std::map<std::size_t, std::size_t> place;  // of a group, by its first device
  std::vector<std::vector<std::size_t>> groups;
  for (std::size_t i = 0; i < devices.size(); ++i) {
    const auto [found, is_new] = place.try_emplace(group_of[i], groups.size());
    if (is_new) groups.emplace_back();
    groups[found->second].push_back(devices[i]);
  }
  for (std::vector<std::size_t>& group : groups) std::ranges::sort(group);
  return groups;
}

TourCosts edge_costs(const Fleet& fleet, const std::vector<std::size_t>& devices, double bytes) {
  const std::size_t count = devices.size();
  TourCosts costs{.size = count, .costs = std::vector<double>(count * count)};
  const auto seconds = [&](std::size_t from, std::size_t to) {
    const FleetPath& path = fleet.path(from, to);
    return path.delay_s + path.per_message_s + bytes / path.bytes_per_s;
  };
  for (std::size_t a = 0; a < count; ++a) {
    for (std::size_t b = a + 1; b < count; ++b) {
      costs.costs[a * count + b] = costs.costs[b * count + a] =
          seconds(devices[a], devices[b]) + seconds(devices[b], devices[a]);
    }
  }
  return costs;
}

}  // namespace longhaul::scheduler
