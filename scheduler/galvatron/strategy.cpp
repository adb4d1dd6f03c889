// Every combination of powers of two, once.
#include "scheduler/galvatron/strategy.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace longhaul::scheduler::galvatron {

std::string name(const Strategy& strategy) {
  const bool strides = strategy.degree() > 1 && strategy.data > 1;
  return fmt::format("{}-{}{}-{}{}{}{}", strategy.pipeline, strategy.degree(), strides ? "*" : "",
                     strategy.data, strategy.sharding == Sharding::kEverything ? "f" : "",
                     strategy.checkpoint ? "-c" : "", strategy.ulysses > 1 ? "-sp" : "");
}

std::vector<Strategy> candidates(const StrategySpace& space) {
  std::vector<Strategy> result;
  const auto add = [&](const Strategy& degrees) {
    std::vector<Sharding> shardings{Sharding::kNothing};
    if (degrees.data > 1) shardings = {space.with_data, Sharding::kEverything};
    for (const Sharding sharding : shardings) {
      for (const bool checkpoint : {false, true}) {
        result.push_back(degrees);
        result.back().sharding = sharding;
        result.back().checkpoint = checkpoint;
      }
    }
  };
  for (std::uint32_t pipeline = 1; pipeline <= std::min(space.devices, space.layers);
       pipeline *= 2) {
    const std::uint32_t per_stage = space.devices / pipeline;
    for (std::uint32_t degree = 1; degree <= per_stage; degree *= 2) {
      const std::uint32_t data = per_stage / degree;
      add({.pipeline = pipeline, .tensor = degree, .data = data});
      if (degree > 1) add({.pipeline = pipeline, .ulysses = degree, .data = data});
    }
  }
  std::sort(result.begin(), result.end());
  return result;
}

}  // namespace longhaul::scheduler::galvatron
