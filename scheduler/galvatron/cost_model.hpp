// Time and memory of a layer, and of embedding and head, under one strategy. Formulas: Galvatron
// (arXiv 2504.21411) as Hetu-Galvatron computes them.
#pragma once

#include "scheduler/galvatron/problem.hpp"
#include "scheduler/galvatron/profile.hpp"
#include "scheduler/galvatron/strategy.hpp"

#include <cstdint>
#include <map>
#include <vector>

namespace longhaul::scheduler::galvatron {

// In the formulas: lb = floor(floor(batch / chunks) / data) samples of a micro-batch on a device;
// d = strategy.shards(), t = strategy.degree(), P the layer's parameters; half: factor 0.5 in bf16.
//
//   forward F      the profile's ms * lb / t; backward 2 F, with checkpoint 3 F
//   gradients G    2 (d - 1) / d * P / tensor * half, over the all-reduce bandwidth of d devices,
//                  in strides if tensor > 1; overlaps backward: longer + (slowdown - 1) * shorter
//   collectives    tensor: 6 all-gathers, each half a measured all-reduce; Ulysses: 4 all-to-alls;
//                  of lb * sequence * hidden; half as many again with checkpoint; never overlapped
//   ZeRO-3         G / 2 once more, never overlapped
//   pipeline       2 pipeline * lb * sequence * hidden * 4 B * half, point to point
//
//   states         4 P / tensor * z, z by sharding, see states_factor in the source
//   activation     per sample * lb * micro-batches in flight; a checkpoint's is divided by t
class CostModel {
 public:
  struct Times {
    double with_reduction_s = 0.0;  // of gradients, once a step
    double without_s = 0.0;
  };

  // Both checked, the model at the problem's sequence.
  CostModel(const Profile& profile, const ModelAtSequence& model, const Problem& problem);

  // One micro-batch, forward and backward, of one layer.
  [[nodiscard]] Times layer_times(const Strategy& strategy) const;
  // The same of embedding and head by stage, without the reduction of gradients; zero on the stages
  // between the first and the last.
  [[nodiscard]] std::vector<double> rest_s(const Strategy& strategy) const;
  // What it costs that a layer's strategy differs from that of the layer before it: the activation
  // changes hands where degrees differ. Elsewhere at most 3e-9 s, which puts layers that save
  // memory first.
  [[nodiscard]] double transition_s(const Strategy& before, const Strategy& after) const;

  // In whole MB, rounded up.
  [[nodiscard]] std::uint64_t layer_memory_mb(const Strategy& strategy, std::uint32_t stage) const;
  // Embedding and head, and 1024 MB for the context on every stage.
  [[nodiscard]] std::uint64_t rest_memory_mb(const Strategy& strategy, std::uint32_t stage) const;
  // All-gathers' receive buffer for the largest tensor degree of a plan.
  [[nodiscard]] double buffer_mb(std::uint32_t pipeline, std::uint32_t largest_degree) const;

 private:
  [[nodiscard]] double local_batch(const Strategy& strategy) const;
  [[nodiscard]] double activation_mb(const Strategy& strategy) const;
  [[nodiscard]] double all_reduce_ms_per_mb(std::uint32_t devices, bool neighbours) const;
  [[nodiscard]] double all_gather_ms(const Strategy& strategy) const;
  [[nodiscard]] double in_flight(const Strategy& strategy, std::uint32_t stage) const;
  [[nodiscard]] double states_factor(const Strategy& strategy) const;
  [[nodiscard]] const RestMemory& rest_memory(const Strategy& strategy, std::uint32_t stage) const;

  const Profile& profile_;
  const ModelAtSequence& model_;
  Problem problem_;
  double half_;
  std::map<std::uint32_t, CollectiveTime> all_reduce_;
  std::map<std::uint32_t, CollectiveTime> all_to_all_;
};

}  // namespace longhaul::scheduler::galvatron
