// Which replica works on which samples of a global batch, and in which order a pipeline takes its
// micro-batches: orders over known costs. A batch's gradient is a sum over its samples, so that no
// order changes what is learnt (but for the rounding of sums).
#pragma once

#include "scheduler/pipeline_time.hpp"

#include <cstdint>
#include <span>
#include <vector>

namespace longhaul::scheduler {

enum class ReplicaCounts {
  // Every replica gets the same number of samples; if that does not divide, some one more. Training
  // wants this: all replicas run the same number of micro-batches of one shape, and the mean of the
  // replicas' mean gradients is the batch's mean gradient.
  kEqual,
  // As it comes. Whoever uses it weighs each replica's gradient by its samples.
  kAny,
};

struct ReplicaShares {
  // [replica]: indices of its samples, the costliest first, of equals the lower index first.
  // Together each index of the costs once.
  std::vector<std::vector<std::uint32_t>> samples;
  double largest = 0;  // cost of the replica with the most
};

// Longest processing time first: the costliest sample goes to the least loaded replica, of equals
// to the lower one. kAny: `largest` is at most 4/3 - 1/(3 replicas) of the optimum (Graham 1969).
// kEqual: the least loaded of those with room; then samples of the most loaded replica change place
// with others' while that lowers it. `costs` are finite and not negative, replicas at least 1.
//
// The same function with kEqual makes even micro-batches of one replica's samples: pass the number
// of micro-batches as `replicas`.
[[nodiscard]] ReplicaShares balance_replicas(std::span<const double> costs, std::uint32_t replicas,
                                             ReplicaCounts counts);

// DistTrain's order (arXiv 2408.04275, section 5) for 1F1B with p stages: the smallest micro-batch
// first, so that the later stages start early; the p - 1 smallest of the rest last, where nothing
// fills the first stage's idle intervals any more; between them, each place goes to the micro-batch
// whose forward on the first stage fits best into the idle interval before the backward that
// follows there: the longest that fits, else the shortest. The p - 1 forwards before the first
// backward share one interval, the round trip of the first micro-batch. A micro-batch's size is its
// time over all stages; of equals the earlier one. Returns a permutation of 0..micro_batches-1.
// `durations.order` must be empty.
[[nodiscard]] std::vector<std::uint32_t> best_fit_order(std::uint32_t stages,
                                                        std::uint32_t micro_batches,
                                                        const PipelineDurations& durations);

struct PipelineOrder {
  std::vector<std::uint32_t> order;  // a permutation, for PipelineDurations::order
  double total_s = 0;                // of a step in this order
  double arrival_s = 0;              // in the order of arrival
  double best_fit_s = 0;             // in best_fit_order
};

// The best of the order of arrival, best_fit_order, and what exchanging two micro-batches makes of
// the better one, as long as that shortens the step and `evaluations` last; by pipeline_time.hpp
// under 1F1B. Never worse than the order of arrival.
[[nodiscard]] PipelineOrder pipeline_order(std::uint32_t stages, std::uint32_t micro_batches,
                                           const PipelineDurations& durations,
                                           std::uint32_t evaluations = 1000);

}  // namespace longhaul::scheduler
