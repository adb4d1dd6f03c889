// How a stage's operators are spread over the devices of its group.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace longhaul::scheduler {

// What replicas (data and sequence degrees) divide among themselves, each with all before it.
enum class Sharding { kNothing, kOptimizer, kGradients, kParameters };  // none, ZeRO-1, 2, 3

// Devices of a group are in row-major order of (data, sequence, tensor).
struct GroupStrategy {
  std::uint32_t data = 1;      // replicas, each with its share of a micro-batch's samples
  std::uint32_t tensor = 1;    // Megatron's division of matrices, sequence-parallel elsewhere
  std::uint32_t sequence = 1;  // Ulysses' division of sequences
  Sharding sharding = Sharding::kNothing;
  bool checkpoint = false;  // of a run of operators only the inputs are kept

  [[nodiscard]] std::uint32_t devices() const { return data * tensor * sequence; }
  [[nodiscard]] std::uint32_t replicas() const { return data * sequence; }
  bool operator==(const GroupStrategy&) const = default;
};

struct StrategyRun {
  std::size_t operators = 0;  // so many, in their order
  GroupStrategy strategy;

  bool operator==(const StrategyRun&) const = default;
};

// Every strategy of so many devices: all factorisations into data, and tensor or sequence, with at
// most `largest_data` replicas of the data (a replica needs a sample); moments are always divided
// where there are replicas, since that costs nothing; with and without checkpoints, except that a
// single device keeps everything.
[[nodiscard]] std::vector<GroupStrategy> group_strategies(std::uint32_t devices,
                                                          std::uint32_t largest_data);

// Equal neighbours together.
[[nodiscard]] std::vector<StrategyRun> runs_of(const std::vector<GroupStrategy>& by_operator);

// "data 4, tensor 2, gradients sharded, recomputed"; "alone" for one device that keeps everything.
[[nodiscard]] std::string strategy_text(const GroupStrategy& strategy);

}  // namespace longhaul::scheduler
