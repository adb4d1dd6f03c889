// Entry point: runs the engine and collects what came out.
#include "scheduler/simulator/simulation.hpp"

#include "proto/assert.hpp"
#include "scheduler/simulator/engine.hpp"

namespace longhaul::scheduler {

Simulation simulate(const PipelineWork& work, const SimulationOptions& options) {
  LONGHAUL_ASSERT(problem_of(work).empty() && options.steps > 0);
  return Engine(work, options).run();
}

}  // namespace longhaul::scheduler
