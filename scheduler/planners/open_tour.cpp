// Exact for few places, else nearest neighbours and local search.
#include "scheduler/planners/open_tour.hpp"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>

namespace longhaul::scheduler {
namespace {

constexpr std::size_t kExactPlaces = 10;
constexpr std::size_t kStarts = 8;
constexpr std::size_t kMostPasses = 40;
constexpr double kLeastGain = 1e-12;

std::vector<std::size_t> exact_tour(const TourCosts& costs) {
  const std::size_t count = costs.size;
  const std::size_t sets = std::size_t{1} << count;
  constexpr double kNever = std::numeric_limits<double>::infinity();
  // Of each set of visited places and each last one of them.
  std::vector<double> least(sets * count, kNever);
  std::vector<std::uint8_t> before(sets * count, 0);
  for (std::size_t i = 0; i < count; ++i) least[(std::size_t{1} << i) * count + i] = 0.0;
  for (std::size_t set = 1; set < sets; ++set) {
    for (std::size_t last = 0; last < count; ++last) {
      const double here = least[set * count + last];
      if (here == kNever) continue;
      for (std::size_t next = 0; next < count; ++next) {
        const std::size_t bit = std::size_t{1} << next;
        if ((set & bit) != 0) continue;
        double& there = least[(set | bit) * count + next];
        if (here + costs(last, next) < there) {
          there = here + costs(last, next);
          before[(set | bit) * count + next] = static_cast<std::uint8_t>(last);
        }
      }
    }
  }
  std::size_t set = sets - 1;
  std::size_t last = 0;
  for (std::size_t i = 1; i < count; ++i) {
    if (least[set * count + i] < least[set * count + last]) last = i;
  }
  std::vector<std::size_t> order;
  while (order.size() < count) {
    order.push_back(last);
    const std::size_t previous = before[set * count + last];
    set &= ~(std::size_t{1} << last);
    last = previous;
  }
  return order;
}

std::vector<std::size_t> nearest_neighbours(const TourCosts& costs, std::size_t start) {
  std::vector<bool> visited(costs.size);
  std::vector<std::size_t> order{start};
  visited[start] = true;
  while (order.size() < costs.size) {
    std::size_t nearest = costs.size;
    for (std::size_t i = 0; i < costs.size; ++i) {
      if (visited[i]) continue;
      if (nearest == costs.size || costs(order.back(), i) < costs(order.back(), nearest)) {
        nearest = i;
      }
    }
    visited[nearest] = true;
    order.push_back(nearest);
  }
  return order;
}

// Costs of the edge between positions a and b of the tour, nothing beyond its ends.
struct Edges {
  const TourCosts& costs;
  const std::vector<std::size_t>& order;

  [[nodiscard]] double between(std::ptrdiff_t a, std::ptrdiff_t b) const {
    const auto count = static_cast<std::ptrdiff_t>(order.size());
    if (a < 0 || b < 0 || a >= count || b >= count) return 0.0;
    return costs(order[static_cast<std::size_t>(a)], order[static_cast<std::size_t>(b)]);
  }
};

bool reverse_pass(const TourCosts& costs, std::vector<std::size_t>& order) {
  bool better = false;
  const auto count = static_cast<std::ptrdiff_t>(order.size());
  const Edges edge{.costs = costs, .order = order};
  for (std::ptrdiff_t i = 0; i + 1 < count; ++i) {
    for (std::ptrdiff_t j = i + 1; j < count; ++j) {
      const double old_cost = edge.between(i - 1, i) + edge.between(j, j + 1);
      const double new_cost = edge.between(i - 1, j) + edge.between(i, j + 1);
      // Ends are free: a place before the first or after the last costs nothing.
      if (new_cost < old_cost - kLeastGain) {
        std::reverse(order.begin() + i, order.begin() + j + 1);
        better = true;
      }
    }
  }
  return better;
}

// Moves runs of one to three places elsewhere, in either direction.
bool move_pass(const TourCosts& costs, std::vector<std::size_t>& order) {
  bool better = false;
  const auto count = static_cast<std::ptrdiff_t>(order.size());
  for (std::ptrdiff_t length = 1; length <= std::min<std::ptrdiff_t>(3, count - 1); ++length) {
    for (std::ptrdiff_t i = 0; i + length <= count; ++i) {
      const Edges edge{.costs = costs, .order = order};
      const std::ptrdiff_t last = i + length - 1;
      const double freed = edge.between(i - 1, i) + edge.between(last, last + 1) -
                           (i > 0 ? edge.between(i - 1, last + 1) : 0.0);
      double best = kLeastGain;
      std::ptrdiff_t best_at = -1;
      bool best_reversed = false;
      for (std::ptrdiff_t at = 0; at <= count; ++at) {  // before the place at `at`
        if (at >= i && at <= last + 1) continue;
        const double opened = edge.between(at - 1, at);
        const double straight = edge.between(at - 1, i) + edge.between(last, at) - opened;
        const double reversed = edge.between(at - 1, last) + edge.between(i, at) - opened;
        if (freed - std::min(straight, reversed) > best) {
          best = freed - std::min(straight, reversed);
          best_at = at;
          best_reversed = reversed < straight;
        }
      }
      if (best_at < 0) continue;
      better = true;
      const auto first = order.begin() + i;
      const auto end = first + length;
      if (best_reversed) std::reverse(first, end);
      if (best_at < i) {
        std::rotate(order.begin() + best_at, first, end);
      } else {
        std::rotate(first, end, order.begin() + best_at);
      }
    }
  }
  return better;
}

}  // namespace

double tour_cost(const TourCosts& costs, const std::vector<std::size_t>& order) {
  double sum = 0.0;
  for (std::size_t i = 1; i < order.size(); ++i) sum += costs(order[i - 1], order[i]);
  return sum;
}

std::vector<std::size_t> open_tour(const TourCosts& costs) {
  if (costs.size < 2) return std::vector<std::size_t>(costs.size, 0);
  if (costs.size <= kExactPlaces) return exact_tour(costs);
  std::vector<std::size_t> best;
  const std::size_t starts = costs.size > 300 ? 1 : std::min(kStarts, costs.size);
  for (std::size_t s = 0; s < starts; ++s) {
    std::vector<std::size_t> order = nearest_neighbours(costs, s * costs.size / starts);
    for (std::size_t pass = 0; pass < kMostPasses; ++pass) {
      const bool reversed = reverse_pass(costs, order);
      if (!move_pass(costs, order) && !reversed) break;
    }
    if (best.empty() || tour_cost(costs, order) < tour_cost(costs, best)) best = std::move(order);
  }
  return best;
}

}  // namespace longhaul::scheduler
