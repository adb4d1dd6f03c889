// A placement as work for the simulator, and what it breaks.
#pragma once

#include "scheduler/planners/evaluation.hpp"
#include "scheduler/planners/plan_tables.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace longhaul::scheduler {

// What an earlier stage makes and a later one reads, per micro-batch and without a codec.
struct Crossing {
  std::uint32_t from = 0;
  std::uint32_t to = 0;
  double bytes = 0.0;
};
// Ordered by `from`, then by `to` as the first value that goes there occurs.
[[nodiscard]] std::vector<Crossing> crossings(const WorkloadTables& tables,
                                              const std::vector<PlacedStage>& stages);

[[nodiscard]] PipelineWork placement_work(const PlanTables& tables, const PlacedPipeline& placed);

// One codec's way of one crossing: encoding, wire and decoding, without the delay.
[[nodiscard]] double coded_s(const CodecOption& codec, const FleetPath& path, double bytes);
void place_codecs(const PlanTables& tables, PlacedPipeline& placed);

// The most that a stage holds; `in_flight`: micro-batches at most.
[[nodiscard]] double peak_bytes(const StageMemory& memory, std::uint32_t in_flight);

[[nodiscard]] PlanCost placement_cost(const PlanTables& tables, const PlacedPipeline& placed,
                                      const PipelineWork& work, double step_s);

// A constraint that a placement breaks, in numbers.
struct Breach {
  Violation::Kind kind{};
  std::size_t at = 0;  // stage; of kEgress the site
  std::size_t op = 0;  // of kPin and kData
  double need = 1.0;
  double limit = 0.0;

  // How bad it is, for comparing plans that do not hold.
  [[nodiscard]] double amount() const { return limit > 0.0 ? need / limit - 1.0 : need; }
};
// Whether the problem's stage_memory is asked about every stage, or only about those that may not
// fit by the sums of their operators, for placements that nobody is given yet.
enum class MemoryCheck { kEveryStage, kWhereTight };
// Of a placement whose stages are in order and whose devices exist. `cost`: its step.
[[nodiscard]] std::vector<Breach> breaches(const PlanTables& tables, const PlacedPipeline& placed,
                                           const PipelineWork& work, const PlanCost& cost,
                                           double step_s,
                                           MemoryCheck check = MemoryCheck::kEveryStage);
[[nodiscard]] std::string describe(const PlanTables& tables, const PlacedPipeline& placed,
                                   const PipelineWork& work, const Breach& breach);

// Whether a stage has the data that it needs: on its device, or from the first stage that has it,
// which under data_stays must be at its site.
[[nodiscard]] bool data_reaches(const PlanTables& tables, const std::vector<PlacedStage>& stages,
                                std::size_t stage);

}  // namespace longhaul::scheduler
