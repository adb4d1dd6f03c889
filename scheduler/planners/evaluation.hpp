// What a placement costs: by the simulator, or quickly by a closed form.
#pragma once

#include "scheduler/planners/planning_problem.hpp"
#include "scheduler/simulator/simulation.hpp"

#include <string>
#include <vector>

namespace longhaul::scheduler {

// The work of one step of a placement; requires check_problem to pass, and check_placement but for
// memory, pins, data and caps. Values made in an earlier stage and read in a later one cross as one
// message per micro-batch, direction and pair of stages; a codec is that of the boundary after the
// earlier stage. Data inputs that a stage without data receives are not counted.
[[nodiscard]] PipelineWork work_of(const PlanningProblem& problem, const PlacedPipeline& placed);

struct PlanCost {
  double step_s = 0.0;
  double cost_per_step = 0.0;  // devices by the hour and egress
  double cost_per_token = 0.0;
  double tokens_per_s = 0.0;
  double mfu = 0.0;  // model FLOPs over the peak of the devices used; 0: a peak is not known
  std::vector<double> egress_bytes;  // per step, by site
  // What the objective orders plans by: smaller is better.
  double score = 0.0;  // infinite: past the deadline
};

[[nodiscard]] PlanCost cost_of(const PlanningProblem& problem, const PlacedPipeline& placed,
                               const Simulation& outcome);
[[nodiscard]] PlanCost simulated_cost(const PlanningProblem& problem, const PlacedPipeline& placed);

// FusionLLM's closed form: sum of compute and transfer times, and (micro-batches - 1) times the
// largest of them. For ranking, not for telling.
[[nodiscard]] double quick_step_s(const PlanningProblem& problem, const PlacedPipeline& placed);

// One thing that a plan violates.
struct Violation {
  enum class Kind { kPlacement, kPin, kExcluded, kData, kMemory, kEgress, kDeadline };
  Kind kind{};
  std::string message;  // which constraint, by how much, what would make it fit
};

// The one validator of plans: every operator placed once, stages in order, devices used once and
// not excluded, as many and in the order that is asked for, settings that may be chosen, pins, data
// at its site, memory, egress caps and the deadline. Empty: it holds.
[[nodiscard]] std::vector<Violation> check_placement(const PlanningProblem& problem,
                                                     const PlacedPipeline& placed);

// Sets the codecs of each link: the mildest that its path hides behind computation, else the
// fastest.
void choose_codecs(const PlanningProblem& problem, PlacedPipeline& placed);

}  // namespace longhaul::scheduler
