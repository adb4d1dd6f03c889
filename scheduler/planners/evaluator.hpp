// Ranks placements: quickly where that is exact or good enough, else by the simulator.
#pragma once

#include "scheduler/planners/placement_work.hpp"
#include "scheduler/simulator/uncontended_step.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace longhaul::scheduler {

// How good a placement is. First comes what it breaks, then the objective, then time.
struct Standing {
  double excess = std::numeric_limits<double>::infinity();  // sum of the breaches' amounts
  double score = std::numeric_limits<double>::infinity();
  double step_s = std::numeric_limits<double>::infinity();
  bool exact = false;  // as the simulator says

  [[nodiscard]] bool better_than(const Standing& other) const {
    if (excess != other.excess) return excess < other.excess;
    if (score != other.score) return score < other.score;
    return step_s < other.step_s;
  }
};

struct RankedPlan {
  PlacedPipeline placed;
  Standing standing;
};

// What is chosen beside devices and cuts.
struct Settings {
  std::size_t workload = 0;
  proto::ScheduleKind schedule{};
  std::uint32_t run_ahead = 0;

  bool operator==(const Settings&) const = default;
};

class Evaluator {
 public:
  explicit Evaluator(const PlanTables& tables);

  // Sets the placement's codecs (choose_codecs; where an egress cap is broken, the smallest out of
  // that site) and ranks it. Inexact: by a lower bound of the step's time, unless the pipeline is
  // so short that the simulator is as quick.
  Standing estimate(PlacedPipeline& placed);
  // By the simulator, with the codecs that the placement has.
  Standing simulate(const PlacedPipeline& placed);

  // The candidate with the best of the problem's settings and codecs, simulated.
  [[nodiscard]] RankedPlan with_best_settings(const std::vector<PlacedStage>& stages);

  // What the placement breaks that was estimated or simulated last.
  [[nodiscard]] const std::vector<Breach>& last_breaches() const { return breaches_; }
  [[nodiscard]] const PlanTables& tables() const { return *tables_; }
  [[nodiscard]] const std::vector<Settings>& settings() const { return settings_; }
  // Placements estimated so far; a simulation counts as its actions are more.
  [[nodiscard]] std::uint64_t evaluations() const { return evaluations_; }

 private:
  Standing standing(const PlacedPipeline& placed, const PipelineWork& work, double step_s,
                    MemoryCheck check);
  Standing time(const PlacedPipeline& placed);

  const PlanTables* tables_;
  UncontendedStep uncontended_;
  std::vector<Settings> settings_;
  std::vector<Breach> breaches_;  // of the last standing
  std::uint64_t evaluations_ = 0;
};

}  // namespace longhaul::scheduler
