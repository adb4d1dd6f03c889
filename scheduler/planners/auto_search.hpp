// The search of the planner `auto`.
#pragma once

#include "scheduler/planners/planners.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

namespace longhaul::scheduler {

// Starts from the heuristics' plans and from chains of sites, then changes orders, subsets, cuts
// and settings at random, accepting what is a little worse the less the more time has passed
// (simulated annealing), with the cuts of each order from CutSearch. Estimates rank; what would be
// the best so far is simulated unless its estimate is exact. One seed: with a budget of evaluations
// the plan is a function of the problem.
class AutoSearch {
 public:
  AutoSearch(PlannerContext& context, const PlannerBudget& budget);
  RankedPlan run();

 private:
  using Order = std::vector<std::size_t>;

  // How much of the budget is gone, from 0 to 1 and beyond.
  [[nodiscard]] double spent() const;
  [[nodiscard]] bool worn_out() const { return stale_ > patience_; }

  void take_heuristics();
  void take_orders();
  void shorten(const Order& order);
  void settle();
  void anneal();
  [[nodiscard]] std::vector<RankedPlan> contenders() const;
  RankedPlan walk(RankedPlan now, double until, bool restarting);
  void polish();

  // Keeps it among the starts, and as the best if it is.
  bool offer(RankedPlan candidate);
  [[nodiscard]] bool beats_best(RankedPlan& candidate);

  [[nodiscard]] std::optional<RankedPlan> neighbour(const RankedPlan& from);
  [[nodiscard]] std::optional<Order> other_order(const Order& order);
  [[nodiscard]] std::optional<RankedPlan> moved_cut(const RankedPlan& from);
  [[nodiscard]] Settings other_settings(const Settings& settings);
  [[nodiscard]] double cap_s(const PlacedPipeline& placed) const;
  [[nodiscard]] std::size_t below(std::size_t bound) { return random_() % bound; }
  [[nodiscard]] bool accepts(const Standing& now, const Standing& next, double heat);

  PlannerContext& context_;
  const PlannerBudget budget_;
  const std::chrono::steady_clock::time_point start_;
  const std::uint64_t evaluations_before_;
  std::mt19937_64 random_{1};
  RankedPlan best_;                 // by the simulator, or exact
  std::vector<RankedPlan> starts_;  // by their estimates, the best first
  std::vector<Settings> favourites_;
  std::size_t patience_ = 0;  // estimates without progress after which nothing more is expected
  std::size_t stale_ = 0;
};

}  // namespace longhaul::scheduler
