// The formula of pipeline_time.hpp.
#include "scheduler/galvatron/pipeline_time.hpp"

#include <algorithm>

namespace longhaul::scheduler::galvatron {

double pipeline_s(std::span<const StageTimes> stages, std::uint32_t chunks) {
  const double p = static_cast<double>(stages.size());
  const double m = chunks;
  const double first = stages.front().compute_s;
  double sum = 0.0;
  double late = 0.0;
  for (const StageTimes& stage : stages) {
    sum += stage.compute_s;
    late = std::max(late, stage.with_reduction_s - sum);
  }
  const double by_last = sum + stages.back().compute_s * (m - 1.0);
  const double ramp = std::min(p - 1.0, m - 1.0) * first;
  const double others = sum - first;
  const double by_first = std::max(ramp / 3.0, others / 3.0) +
                          std::max(ramp * 2.0 / 3.0, others * 2.0 / 3.0) +
                          first * std::max(0.0, m + 1.0 - p);
  return std::max(by_last, by_first) + late;
}

}  // namespace longhaul::scheduler::galvatron
