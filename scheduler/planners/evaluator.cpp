// Estimates, simulations, and the search over settings.
#include "scheduler/planners/evaluator.hpp"

#include <algorithm>

namespace longhaul::scheduler {
namespace {

// Actions of a step up to which a placement that shares something is simulated at once.
constexpr std::size_t kQuickActions = 700;
constexpr std::uint64_t kSimulationCounts = 20;
constexpr std::size_t kSimulatedSettings = 3;

// The codec of least bytes for everything that leaves the sites.
void send_least(const PlanTables& tables, const std::vector<std::size_t>& sites,
                PlacedPipeline& placed) {
  const PlanningProblem& problem = tables.problem();
  if (problem.codecs.empty() || placed.codecs.empty()) return;
  const auto least = static_cast<std::size_t>(
      std::ranges::min_element(problem.codecs, {}, &CodecOption::ratio) - problem.codecs.begin());
  const auto capped = [&](std::uint32_t stage) {
    const std::size_t site = problem.fleet.site_of(placed.stages[stage].device);
    return std::ranges::find(sites, site) != sites.end();
  };
  for (const Crossing& crossing : crossings(tables.workload(placed.workload), placed.stages)) {
    if (capped(crossing.from)) placed.codecs[crossing.from].forward = least;
    if (capped(crossing.to)) placed.codecs[crossing.from].backward = least;
  }
}

}  // namespace

Evaluator::Evaluator(const PlanTables& tables) : tables_(&tables), uncontended_(tables.book()) {
  const PlanningProblem& problem = tables.problem();
  for (std::size_t workload = 0; workload < problem.workloads.size(); ++workload) {
    for (const proto::ScheduleKind schedule : problem.schedules) {
      for (const std::uint32_t run_ahead : problem.run_ahead) {
        // gpipe does not know running ahead.
        if (schedule == proto::ScheduleKind::kGpipe && run_ahead != problem.run_ahead.front()) {
          continue;
        }
        settings_.push_back({.workload = workload, .schedule = schedule, .run_ahead = run_ahead});
      }
    }
  }
}

Standing Evaluator::standing(const PlacedPipeline& placed, const PipelineWork& work, double step_s,
                             MemoryCheck check) {
  const PlanCost cost = placement_cost(*tables_, placed, work, step_s);
  Standing standing{.excess = 0.0, .score = cost.score, .step_s = step_s, .exact = true};
  breaches_ = breaches(*tables_, placed, work, cost, step_s, check);
  for (const Breach& breach : breaches_) standing.excess += breach.amount();
  return standing;
}

Standing Evaluator::time(const PlacedPipeline& placed) {
  ++evaluations_;
  const PipelineWork work = placement_work(*tables_, placed);
  UncontendedTime time = uncontended_.time(work);
  if (!time.exact && 3 * work.stages.size() * work.micro_batches <= kQuickActions) {
    time = {.step_s = scheduler::simulate(work).step_s, .exact = true};
  }
  Standing result = standing(placed, work, time.step_s, MemoryCheck::kWhereTight);
  result.exact = time.exact;
  return result;
}

Standing Evaluator::estimate(PlacedPipeline& placed) {
  place_codecs(*tables_, placed);
  const Standing chosen = time(placed);
  std::vector<std::size_t> over_cap;
  for (const Breach& breach : breaches_) {
    if (breach.kind == Violation::Kind::kEgress) over_cap.push_back(breach.at);
  }
  if (over_cap.empty()) return chosen;
  const std::vector<PlacedPipeline::LinkCodecs> codecs = placed.codecs;
  send_least(*tables_, over_cap, placed);
  const Standing lean = time(placed);
  if (lean.better_than(chosen)) return lean;
  placed.codecs = codecs;
  return chosen;
}

Standing Evaluator::simulate(const PlacedPipeline& placed) {
  evaluations_ += kSimulationCounts;
  const PipelineWork work = placement_work(*tables_, placed);
  return standing(placed, work, scheduler::simulate(work).step_s, MemoryCheck::kEveryStage);
}

RankedPlan Evaluator::with_best_settings(const std::vector<PlacedStage>& stages) {
  std::vector<RankedPlan> all;
  for (const Settings& settings : settings_) {
    RankedPlan candidate;
    candidate.placed.workload = settings.workload;
    candidate.placed.schedule = settings.schedule;
    candidate.placed.run_ahead = settings.run_ahead;
    candidate.placed.stages = stages;
    candidate.standing = estimate(candidate.placed);
    all.push_back(std::move(candidate));
  }
  std::ranges::stable_sort(all, [](const RankedPlan& a, const RankedPlan& b) {
    return a.standing.better_than(b.standing);
  });
  RankedPlan best;
  for (std::size_t i = 0; i < std::min(all.size(), kSimulatedSettings); ++i) {
    all[i].standing = simulate(all[i].placed);
    if (i == 0 || all[i].standing.better_than(best.standing)) best = all[i];
  }
  return best;
}

}  // namespace longhaul::scheduler
