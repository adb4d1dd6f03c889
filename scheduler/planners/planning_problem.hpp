// What a planner is asked, and what it answers.
#pragma once

#include "proto/error.hpp"
#include "proto/pipeline_schedule.hpp"
#include "scheduler/fleet.hpp"
#include "scheduler/memory_estimate.hpp"
#include "scheduler/workload.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::scheduler {

// A codec that a link may start with. Times per byte of the dense tensor, on one processor.
struct CodecOption {
  std::string name;    // a rung, as compression/format.md names it
  double ratio = 1.0;  // bytes sent over bytes of the dense tensor, at most 1
  double encode_s_per_byte = 0.0;
  double decode_s_per_byte = 0.0;
};

enum class Objective {
  kStepTime,
  kCostPerToken,
  kCostUnderDeadline,  // the cheapest plan whose step takes at most deadline_s
};

struct PlanConstraints {
  std::set<std::string> excluded_nodes;
  // Operator id to the node that must host it.
  std::map<std::string, std::string> pins;
  bool data_stays = false;  // operators that need data only at sites of nodes that have it
  std::size_t devices = 0;  // that the plan uses exactly; 0: as many as serve the objective
  bool keep_order = false;  // stages on the fleet's devices in the fleet's order
};

struct PlanningProblem;
struct PlacedPipeline;

// What a stage holds at its peak, and what the device has on which that is most of what it has.
struct StageNeed {
  MemoryEstimate memory;
  std::uint64_t capacity_bytes = 0;
};
using StageMemoryOf =
    std::function<StageNeed(const PlanningProblem&, const PlacedPipeline&, std::size_t stage)>;

struct PlanningProblem {
  Fleet fleet;
  // One per micro-batch size that may be chosen, ascending; all of one model and batch.
  std::vector<Workload> workloads;
  std::uint32_t batch = 1;  // samples per step; a multiple of every micro-batch size
  std::vector<proto::ScheduleKind> schedules;  // that may be chosen, not empty
  std::vector<std::uint32_t> run_ahead{0};     // likewise; gpipe takes the first
  std::vector<CodecOption> codecs;  // mildest first, the first dense; a link may start with any
  Objective objective = Objective::kStepTime;
  double deadline_s = std::numeric_limits<double>::infinity();  // of a step
  PlanConstraints constraints;
  // Of each micro-batch, a factor on all stages' times; empty: all alike. With it, all workloads
  // have as many micro-batches.
  std::vector<double> micro_batch_costs = {};
  // Decides whether a stage fits (placed_memory.hpp). None: the sums of WorkloadOperator do, which
  // otherwise are only the search's quick bound.
  StageMemoryOf stage_memory = {};
};

struct PlacedStage {
  std::size_t device = 0;  // of the fleet; every device at most once
  std::size_t first = 0;   // operators [first, end) of the topological order
  std::size_t end = 0;
};

struct PlacedPipeline {
  std::size_t workload = 0;  // of the problem's
  proto::ScheduleKind schedule{};
  std::uint32_t run_ahead = 0;
  std::vector<PlacedStage> stages;
  // Of the boundary after each stage, indices into the problem's codecs: [stage].forward and
  // .backward; as many as stages, the last unused.
  struct LinkCodecs {
    std::size_t forward = 0;
    std::size_t backward = 0;
  };
  std::vector<LinkCodecs> codecs;

  [[nodiscard]] std::uint32_t micro_batches(const PlanningProblem& problem) const {
    return problem.batch / problem.workloads[workload].micro_batch_size;
  }
};

enum class PlannerKind {
  kEqualOperators,
  kEqualCompute,
  kOpFence,
  kDtFm,
  kExhaustive,
  kHybrid,         // scheduler/groups/grouped_plan.hpp
  kDisaggregated,  // scheduler/groups/units_of_problem.hpp
  kAuto,
};
[[nodiscard]] std::string_view planner_name(PlannerKind kind);  // "equal-operators", ...

struct PlannerBudget {
  double seconds = 10.0;  // auto stops refining then; nothing else looks at the time
  // Instead of seconds: the same plan on every machine. A placement that is estimated counts once,
  // one that is simulated twenty times; what the heuristics look at comes first and always.
  std::uint64_t evaluations = 0;
};

// The plan, or why there is none: which constraint fails, by how much, and what would make it fit.
// kConfiguration for a problem that is wrong in itself (or too large for exhaustive), kResource for
// one that does not fit. kHybrid and kDisaggregated are refused (kConfiguration): their plans are
// make_grouped_plan's.
[[nodiscard]] proto::Result<PlacedPipeline> make_plan(const PlanningProblem& problem,
                                                      PlannerKind planner,
                                                      const PlannerBudget& budget = {});

}  // namespace longhaul::scheduler
