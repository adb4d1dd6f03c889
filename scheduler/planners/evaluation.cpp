// Codecs, costs, and the closed form.
#include "scheduler/planners/evaluation.hpp"

#include "proto/transfer_budget.hpp"
#include "scheduler/planners/placement_work.hpp"

#include <algorithm>
#include <limits>

namespace longhaul::scheduler {
namespace {

constexpr double kSecondsPerHour = 3600.0;

// The codec for what goes one way over a boundary, possibly to several stages.
class CodecChoice {
 public:
  explicit CodecChoice(const std::vector<CodecOption>& codecs) : worst_s_(codecs.size(), 0.0) {
    fits_.assign(codecs.size(), true);
  }

  void add(const std::vector<CodecOption>& codecs, const FleetPath& path, double bytes,
           double budget_s) {
    for (std::size_t c = 0; c < codecs.size(); ++c) {
      const double takes_s = coded_s(codecs[c], path, bytes);
      worst_s_[c] = std::max(worst_s_[c], takes_s);
      if (takes_s > budget_s) fits_[c] = false;
    }
  }

  [[nodiscard]] std::size_t best() const {
    const auto mildest = std::ranges::find(fits_, true);
    if (mildest != fits_.end()) return static_cast<std::size_t>(mildest - fits_.begin());
    return static_cast<std::size_t>(std::ranges::min_element(worst_s_) - worst_s_.begin());
  }

 private:
  std::vector<double> worst_s_;
  std::vector<bool> fits_;
};

proto::PipelinePace pace_of(const PlanTables& tables, const PlacedPipeline& placed) {
  proto::PipelinePace pace{.schedule = placed.schedule,
                           .stages = static_cast<std::uint32_t>(placed.stages.size()),
                           .micro_batches = placed.micro_batches(tables.problem()),
                           .run_ahead = placed.run_ahead};
  for (const PlacedStage& stage : placed.stages) {
    const StageTime time =
        tables.workload(placed.workload).time(stage.device, stage.first, stage.end);
    if (time.sum() <= pace.forward_s + pace.backward_s) continue;
    pace.forward_s = time.forward_s;
    pace.backward_s = time.input_gradient_s + time.weight_gradient_s;
  }
  return pace;
}

std::vector<double> bytes_leaving(const PlanTables& tables, const PlacedPipeline& placed,
                                  const PipelineWork& work) {
  const Fleet& fleet = tables.problem().fleet;
  std::vector<double> leaving(fleet.sites.size());
  const auto site = [&](std::size_t stage) { return fleet.site_of(placed.stages[stage].device); };
  for (const TransferWork& transfer : work.transfers) {
    if (site(transfer.from) == site(transfer.to)) continue;
    leaving[site(transfer.from)] += transfer.bytes[0] * work.micro_batches;
  }
  for (const TiedWork& tied : work.tied) {
    for (const std::size_t from : tied.stages) {
      for (const std::size_t to : tied.stages) {
        if (site(from) != site(to)) leaving[site(from)] += tied.bytes;
      }
    }
  }
  return leaving;
}

double score_of(const PlanningProblem& problem, const PlanCost& cost) {
  // Without tokens a step is what is paid for.
  const double paid = cost.cost_per_token > 0.0 ? cost.cost_per_token : cost.cost_per_step;
  switch (problem.objective) {
    case Objective::kStepTime:
      return cost.step_s;
    case Objective::kCostPerToken:
      return paid;
    case Objective::kCostUnderDeadline:
      return cost.step_s <= problem.deadline_s ? paid : std::numeric_limits<double>::infinity();
  }
  return cost.step_s;
}

}  // namespace

double coded_s(const CodecOption& codec, const FleetPath& path, double bytes) {
  return bytes * (codec.encode_s_per_byte + codec.decode_s_per_byte) + path.per_message_s +
         bytes * codec.ratio / path.bytes_per_s;
}

void place_codecs(const PlanTables& tables, PlacedPipeline& placed) {
  const PlanningProblem& problem = tables.problem();
  placed.codecs.assign(placed.stages.size(), {});
  if (problem.codecs.size() < 2 || placed.stages.size() < 2) return;
  const proto::PipelinePace pace = pace_of(tables, placed);
  std::vector<CodecChoice> forward(placed.stages.size(), CodecChoice(problem.codecs));
  std::vector<CodecChoice> backward = forward;
  for (const Crossing& crossing : crossings(tables.workload(placed.workload), placed.stages)) {
    const FleetPath& there =
        problem.fleet.path(placed.stages[crossing.from].device, placed.stages[crossing.to].device);
    const FleetPath& back =
        problem.fleet.path(placed.stages[crossing.to].device, placed.stages[crossing.from].device);
    const double round_trip_s = there.delay_s + back.delay_s;
    forward[crossing.from].add(problem.codecs, there, crossing.bytes,
                               proto::transfer_budget_s(pace, false, round_trip_s));
    backward[crossing.from].add(problem.codecs, back, crossing.bytes,
                                proto::transfer_budget_s(pace, true, round_trip_s));
  }
  for (std::size_t s = 0; s + 1 < placed.stages.size(); ++s) {
    placed.codecs[s] = {.forward = forward[s].best(), .backward = backward[s].best()};
  }
}

PlanCost placement_cost(const PlanTables& tables, const PlacedPipeline& placed,
                        const PipelineWork& work, double step_s) {
  const PlanningProblem& problem = tables.problem();
  const WorkloadTables& sums = tables.workload(placed.workload);
  PlanCost cost;
  cost.step_s = step_s;
  cost.egress_bytes = bytes_leaving(tables, placed, work);
  double price_per_hour = 0.0;
  double peak = 0.0;
  bool peaks_known = true;
  for (const PlacedStage& stage : placed.stages) {
    const FleetDevice& device = problem.fleet.devices[stage.device];
    price_per_hour += device.price_per_hour;
    peak += device.peak_flops_per_s;
    peaks_known = peaks_known && device.peak_flops_per_s > 0.0;
  }
  cost.cost_per_step = price_per_hour * step_s / kSecondsPerHour;
  for (std::size_t s = 0; s < cost.egress_bytes.size(); ++s) {
    cost.cost_per_step += cost.egress_bytes[s] * problem.fleet.sites[s].egress_price_per_byte;
  }
  const double micro_batches = work.micro_batches;
  const double tokens = sums.workload().tokens_per_micro_batch * micro_batches;
  if (tokens > 0.0) cost.cost_per_token = cost.cost_per_step / tokens;
  if (step_s > 0.0) cost.tokens_per_s = tokens / step_s;
  if (peaks_known && step_s > 0.0) cost.mfu = sums.flops() * micro_batches / (step_s * peak);
  cost.score = score_of(problem, cost);
  return cost;
}

PipelineWork work_of(const PlanningProblem& problem, const PlacedPipeline& placed) {
  return placement_work(PlanTables(problem), placed);
}

PlanCost cost_of(const PlanningProblem& problem, const PlacedPipeline& placed,
                 const Simulation& outcome) {
  const PlanTables tables(problem);
  return placement_cost(tables, placed, placement_work(tables, placed), outcome.step_s);
}

PlanCost simulated_cost(const PlanningProblem& problem, const PlacedPipeline& placed) {
  const PlanTables tables(problem);
  const PipelineWork work = placement_work(tables, placed);
  return placement_cost(tables, placed, work, simulate(work).step_s);
}

double quick_step_s(const PlanningProblem& problem, const PlacedPipeline& placed) {
  const PipelineWork work = work_of(problem, placed);
  double sum_s = 0.0;
  double largest_s = 0.0;
  const auto add = [&](double takes_s) {
    sum_s += takes_s;
    largest_s = std::max(largest_s, takes_s);
  };
  for (const StageWork& stage : work.stages) add(stage.times[0].sum());
  for (const TransferWork& transfer : work.transfers) {
    const PathWork& path = work.paths[transfer.path];
    add(path.delay_s + path.per_message_s + transfer.bytes[0] / path.bytes_per_s +
        transfer.encode_s + transfer.decode_s);
  }
  return sum_s + (work.micro_batches - 1.0) * largest_s;
}

void choose_codecs(const PlanningProblem& problem, PlacedPipeline& placed) {
  place_codecs(PlanTables(problem), placed);
}

}  // namespace longhaul::scheduler
