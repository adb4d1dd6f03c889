// Open-loop travelling salesman: an order of places in which neighbours are near.
#pragma once

#include <cstddef>
#include <vector>

namespace longhaul::scheduler {

// Symmetric costs between `size` places, row-major.
struct TourCosts {
  std::size_t size = 0;
  std::vector<double> costs;

  [[nodiscard]] double operator()(std::size_t a, std::size_t b) const {
    return costs[a * size + b];
  }
};

[[nodiscard]] double tour_cost(const TourCosts& costs, const std::vector<std::size_t>& order);

// All places, each once. Shortest for up to 10 places (Held and Karp's dynamic program); beyond
// that the best of several nearest-neighbour tours after 2-opt and the moving of short runs, whose
// passes are bounded. Deterministic.
[[nodiscard]] std::vector<std::size_t> open_tour(const TourCosts& costs);

}  // namespace longhaul::scheduler
