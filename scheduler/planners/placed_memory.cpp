// Estimates, remembered by what they depend on.
#include "scheduler/planners/placed_memory.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <utility>
#include <vector>

namespace longhaul::scheduler {
namespace {

class PlacedMemory {
 public:
  PlacedMemory(const proto::Graph& graph, const PlanningProblem& problem,
               const PlacedMemoryOptions& options)
      : graph_(graph), options_(options), readers_(graph.operators.size()) {
    for (const Workload& workload : problem.workloads) {
      const proto::ShapeBinding binding{.batch = workload.micro_batch_size,
                                        .sequence = options.sequence};
      shapes_.emplace(workload.micro_batch_size, proto::infer_shapes(graph, binding).value());
    }
    for (std::uint32_t op = 0; op < graph.operators.size(); ++op) {
      for (const proto::ValueIndex input : graph.operators[op].inputs) {
        if (graph.is_data_input(input)) continue;
        auto& readers = readers_[graph.operator_of(input).value];
        if (readers.empty() || readers.back() != op) readers.push_back(op);
      }
    }
  }

  const MemoryEstimate& of(const PlanningProblem& problem, const PlacedPipeline& placed,
                           std::size_t stage) {
    const auto [found, is_new] = known_.try_emplace(key(problem, placed, stage));
    if (is_new) {
      const proto::Plan plan = plan_of(problem, placed);
      found->second =
          estimate_memory(graph_, plan, proto::StageIndex{static_cast<std::uint32_t>(stage)},
                          shapes_.at(plan.micro_batch_size), options_.memory);
    }
    return found->second;
  }

 private:
  // The schedule, the stage's place in it and its operators, which stages have data, and how often
  // each value goes to more than one later stage.
  using Key = std::vector<std::uint32_t>;
  Key key(const PlanningProblem& problem, const PlacedPipeline& placed, std::size_t stage) const {
    const auto number = [](auto value) { return static_cast<std::uint32_t>(value); };
    const PlacedStage& here = placed.stages[stage];
    Key key{problem.workloads[placed.workload].micro_batch_size,
            placed.micro_batches(problem),
            number(placed.schedule),
            placed.run_ahead,
            number(placed.stages.size()),
            number(stage),
            number(here.first),
            number(here.end)};
    std::uint32_t bits = 0;
    for (std::size_t s = 0; s < placed.stages.size(); ++s) {
      bits = 2 * bits + (problem.fleet.devices[placed.stages[s].device].has_data ? 1 : 0);
      if (s % 32 == 31) key.push_back(std::exchange(bits, 0));
    }
    key.push_back(bits);
    if (needs_elsewhere(placed, stage, problem)) {
      for (const PlacedStage& other : placed.stages) key.push_back(number(other.end));
    }
    for (std::size_t op = here.first; op < here.end; ++op) {
      if (const std::uint32_t to = stages_reading(placed, stage, op); to > 1) {
        key.push_back(number(op));
        key.push_back(to);
      }
    }
    return key;
  }

  // Whether it sends data inputs: to whom depends on the other stages' operators.
  [[nodiscard]] bool needs_elsewhere(const PlacedPipeline& placed, std::size_t stage,
                                     const PlanningProblem& problem) const {
    const auto has = [&](const PlacedStage& one) {
      return problem.fleet.devices[one.device].has_data;
    };
    return has(placed.stages[stage]) && !std::ranges::all_of(placed.stages, has);
  }

  [[nodiscard]] std::uint32_t stages_reading(const PlacedPipeline& placed, std::size_t stage,
                                             std::size_t op) const {
    std::uint32_t count = 0;
    std::size_t s = stage;
    for (const std::uint32_t reader : readers_[op]) {
      if (reader < placed.stages[s].end) continue;
      while (reader >= placed.stages[s].end) ++s;
      ++count;
    }
    return count;
  }

  proto::Graph graph_;
  PlacedMemoryOptions options_;
  std::map<std::uint32_t, std::vector<proto::Shape>> shapes_;  // by micro-batch size
  std::vector<std::vector<std::uint32_t>> readers_;            // of each operator, ascending
  std::map<Key, MemoryEstimate> known_;
};

}  // namespace

proto::Plan plan_of(const PlanningProblem& problem, const PlacedPipeline& placed) {
  proto::Plan plan;
  plan.schedule = placed.schedule;
  plan.run_ahead = placed.run_ahead;
  plan.micro_batches = placed.micro_batches(problem);
  plan.micro_batch_size = problem.workloads[placed.workload].micro_batch_size;
  for (const PlacedStage& placed_stage : placed.stages) {
    const FleetDevice& device = problem.fleet.devices[placed_stage.device];
    proto::Stage stage{.node = device.node,
                       .device = device.device,
                       .threads = device.threads,
                       .operators = {},
                       .has_data = device.has_data};
    for (std::size_t i = placed_stage.first; i < placed_stage.end; ++i) {
      stage.operators.push_back(proto::OperatorIndex{static_cast<std::uint32_t>(i)});
    }
    plan.stages.push_back(std::move(stage));
  }
  return plan;
}

StageMemoryOf placed_memory(const proto::Graph& graph, const PlanningProblem& problem,
                            const PlacedMemoryOptions& options) {
  return [memory = std::make_shared<PlacedMemory>(graph, problem, options)](
             const PlanningProblem& asked, const PlacedPipeline& placed, std::size_t stage) {
    return StageNeed{
        .memory = memory->of(asked, placed, stage),
        .capacity_bytes = asked.fleet.devices[placed.stages[stage].device].memory_bytes};
  };
}

}  // namespace longhaul::scheduler
