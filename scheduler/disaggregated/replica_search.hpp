// The exact number of replicas of every unit but the backbone, once all other degrees are chosen.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

namespace longhaul::scheduler {

// A unit under one option.
struct ReplicaTask {
  std::size_t pool = 0;
  std::uint32_t tensor = 1;  // devices of one replica
  double work_s = 0;         // time of a round on one replica
  std::uint64_t pieces = 0;  // of a round, each on one replica; 0: the round is cut at will
  std::uint32_t least = 1;   // replicas, from memory; at least 1

  // Time of a round: work_s / replicas, in whole pieces where there are such.
  [[nodiscard]] double round_s(std::uint32_t replicas) const;
};

struct ReplicaProblem {
  std::span<const ReplicaTask> tasks;
  std::span<const std::uint32_t> devices;  // per pool, for these tasks
  double fill_s = 0;                       // the backbone's
  double bottleneck_s = 0;                 // the backbone's
  double repeats = 0;                      // micro-batches of a step, less one
};

// At most cost(r) for every r that `devices` allow, in closed form. Per pool, with w the work in
// device-seconds and R the devices, Cauchy and Schwarz give sum w/x >= (sum sqrt w)^2 / R, and the
// largest w/x is at least (sum w) / R, for all x > 0 that sum up to R. Infinite if not even the
// least replicas fit.
[[nodiscard]] double replica_bound(const ReplicaProblem& problem);

// Minimises cost(r) = fill_s + sum T(r) + repeats * max(bottleneck_s, max T(r)) over replicas
// r >= least with sum tensor * r <= devices in each pool; exactly, by branch and bound: the bound
// above, as a function of one task's replicas, is convex, so that the search goes outwards from its
// minimum and stops where it reaches the best found. Nothing if no r costs less than `limit`.
struct ReplicaChoice {
  std::vector<std::uint32_t> replicas;  // per task
  double cost_s = 0;
};
[[nodiscard]] std::optional<ReplicaChoice> best_replicas(const ReplicaProblem& problem,
                                                         double limit);

}  // namespace longhaul::scheduler
