// How one layer is spread over devices in Galvatron's search: the four degrees, sharding,
// checkpointing, and the notation for it.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <vector>

namespace longhaul::scheduler::galvatron {

// What the devices of a data-parallel group split among them instead of holding it each.
enum class Sharding {
  kNothing,             // DDP
  kGradientsAndStates,  // ZeRO-2
  kEverything,          // ZeRO-3, fully sharded
};

// All degrees are powers of two, and at most one of tensor and ulysses is above 1. Ordered by the
// members from first to last; of equally good plans the search takes the one of the first strategy.
struct Strategy {
  std::uint32_t pipeline = 1;
  std::uint32_t tensor = 1;   // Megatron's tensor parallelism with sequence parallelism
  std::uint32_t ulysses = 1;  // sequence parallelism by all-to-all
  std::uint32_t data = 1;
  Sharding sharding = Sharding::kNothing;
  bool checkpoint = false;  // activations are computed again in backward

  auto operator<=>(const Strategy&) const = default;

  [[nodiscard]] std::uint32_t degree() const { return tensor * ulysses; }  // a sample's devices
  [[nodiscard]] std::uint32_t shards() const { return data * ulysses; }  // of states and gradients
};

// "PIPELINE-DEGREE-DATA", as in "1-4*-2f-c": "*" behind the degree where data parallelism strides
// over its groups, then "f" for kEverything, "-c" for checkpoint, "-sp" for ulysses.
[[nodiscard]] std::string name(const Strategy& strategy);

struct StrategySpace {
  std::uint32_t devices = 1;                           // a power of two
  std::uint32_t layers = 1;                            // no more stages than layers
  Sharding with_data = Sharding::kGradientsAndStates;  // beside kEverything, where data > 1
};

// All strategies that use every device, ascending.
[[nodiscard]] std::vector<Strategy> candidates(const StrategySpace& space);

}  // namespace longhaul::scheduler::galvatron
