// The tasks, and the best plan of each.
#include "scheduler/galvatron/search.hpp"

#include "scheduler/galvatron/cost_model.hpp"
#include "scheduler/galvatron/pipeline_time.hpp"
#include "scheduler/galvatron/stage_program.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <utility>

namespace longhaul::scheduler::galvatron {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

enum class Mode { kTensor, kUlysses, kBoth };

struct Task {
  std::uint32_t pipeline = 1;
  Mode mode = Mode::kTensor;
  std::uint32_t largest_degree = 1;
};

struct Best {
  double step_s = kInfinity;
  std::vector<StagePlan> stages;
  Strategy rest;
};

std::vector<Task> tasks(const Problem& problem) {
  std::vector<Task> result;
  const std::uint32_t most = std::min({problem.devices, problem.layers, problem.chunks});
  for (std::uint32_t pipeline = 1; pipeline <= most; pipeline *= 2) {
    const std::uint32_t per_stage = problem.devices / pipeline;
    const std::uint32_t data = std::min(problem.batch / problem.chunks, per_stage);
    for (const Mode mode : {Mode::kTensor, Mode::kUlysses, Mode::kBoth}) {
      for (std::uint32_t largest = 1; largest <= per_stage; largest *= 2) {
        if (mode == Mode::kUlysses ? largest < per_stage : largest < per_stage / data) continue;
        result.push_back({pipeline, mode, largest});
      }
    }
  }
  return result;
}

bool allows(const Task& task, const Problem& problem, const Strategy& strategy) {
  const std::uint32_t most =
      std::min(problem.batch / problem.chunks, problem.devices / task.pipeline);
  return strategy.pipeline == task.pipeline && strategy.degree() <= task.largest_degree &&
         strategy.data <= most && !(task.mode == Mode::kTensor && strategy.ulysses > 1) &&
         !(task.mode == Mode::kUlysses && strategy.tensor > 1);
}

// One task at a time, keeping the best plan of all.
class Search {
 public:
  Search(const CostModel& costs, const Problem& problem, const std::vector<Strategy>& all)
      : costs_(costs), problem_(problem), all_(all), usable_(usable_memory_mb(problem.memory_mb)) {}

  void run(const Task& task) {
    task_ = task;
    gather();
    if (problem_.one_for_all) {
      for (std::size_t s = 0; s < strategies_.size(); ++s) try_one(s);
    } else {
      for (const Strategy& rest : rests()) try_rest(rest);
    }
  }

  [[nodiscard]] const Best& best() const { return best_; }
  [[nodiscard]] std::uint64_t least_needed_mb() const { return least_needed_mb_; }

 private:
  using Chosen = std::vector<std::size_t>;  // a strategy per layer of a stage

  // What all plans of the task share.
  void gather() {
    strategies_.clear();
    times_.clear();
    cost_.clear();
    transition_.clear();
    std::copy_if(all_.begin(), all_.end(), std::back_inserter(strategies_),
                 [&](const Strategy& strategy) { return allows(task_, problem_, strategy); });
    for (const Strategy& strategy : strategies_) {
      times_.push_back(costs_.layer_times(strategy));
      cost_.push_back(times_.back().with_reduction_s);
    }
    for (const Strategy& before : strategies_) {
      for (const Strategy& after : strategies_) {
        transition_.push_back(costs_.transition_s(before, after));
      }
    }
    memory_.assign(task_.pipeline, {});
    for (std::uint32_t stage = 0; stage < task_.pipeline; ++stage) {
      for (const Strategy& strategy : strategies_) {
        memory_[stage].push_back(costs_.layer_memory_mb(strategy, stage));
      }
    }
    solved_.assign(task_.pipeline, {});
    layers_.assign(task_.pipeline, problem_.layers / task_.pipeline);
    layers_.back() += problem_.layers % task_.pipeline;
    const double buffer =
        task_.mode == Mode::kUlysses ? 0.0 : costs_.buffer_mb(task_.pipeline, task_.largest_degree);
    buffer_mb_ =
        static_cast<std::uint64_t>(problem_.one_for_all ? std::ceil(buffer) : std::floor(buffer));
  }

  [[nodiscard]] std::vector<Strategy> rests() const {
    std::vector<Strategy> result;
    for (Strategy strategy : strategies_) {
      strategy.checkpoint = false;
      result.push_back(strategy);
    }
    std::sort(result.begin(), result.end());
    result.erase(std::unique(result.begin(), result.end()), result.end());
    return result;
  }

  [[nodiscard]] std::uint64_t taken_mb(const Strategy& rest, std::uint32_t stage) const {
    return costs_.rest_memory_mb(rest, stage) + buffer_mb_;
  }

  // Of all stages the largest need, if every layer takes what `layer_mb` says for its stage.
  template <class LayerMb>
  void note_need(const Strategy& rest, const LayerMb& layer_mb) {
    std::uint64_t need = 0;
    for (std::uint32_t stage = 0; stage < task_.pipeline; ++stage) {
      need = std::max(need, taken_mb(rest, stage) + layers_[stage] * layer_mb(stage));
    }
    least_needed_mb_ = std::min(least_needed_mb_, need);
  }

  void try_one(std::size_t s) {
    Strategy rest = strategies_[s];
    rest.checkpoint = false;
    note_need(rest, [&](std::uint32_t stage) { return memory_[stage][s]; });
    std::vector<Chosen> chosen;
    for (std::uint32_t stage = 0; stage < task_.pipeline; ++stage) {
      if (taken_mb(rest, stage) + layers_[stage] * memory_[stage][s] > usable_) return;
      chosen.emplace_back(layers_[stage], s);
    }
    offer(rest, chosen, costs_.rest_s(rest));
  }

  void try_rest(const Strategy& rest) {
    note_need(rest, [&](std::uint32_t stage) {
      return *std::min_element(memory_[stage].begin(), memory_[stage].end());
    });
    const std::vector<double> rest_s = costs_.rest_s(rest);
    if (lower_bound_s(rest_s) > best_.step_s * (1.0 + 1e-9)) return;
    std::vector<Chosen> chosen;
    for (std::uint32_t stage = 0; stage < task_.pipeline; ++stage) {
      const std::uint64_t taken = taken_mb(rest, stage);
      if (taken > usable_) return;
      const std::optional<Chosen>& solved = solve(stage, usable_ - taken);
      if (!solved) return;
      chosen.push_back(*solved);
    }
    offer(rest, chosen, rest_s);
  }

  // Embeddings that leave a stage the same memory leave it the same layers.
  const std::optional<Chosen>& solve(std::uint32_t stage, std::uint64_t budget_mb) {
    const auto [found, is_new] = solved_[stage].try_emplace(budget_mb);
    if (is_new) {
      found->second = cheapest_strategies({.layers = layers_[stage],
                                           .budget_mb = budget_mb,
                                           .memory_mb = memory_[stage],
                                           .cost_s = cost_,
                                           .transition_s = transition_});
    }
    return found->second;
  }

  // As if memory did not matter.
  [[nodiscard]] double lower_bound_s(const std::vector<double>& rest_s) const {
    double least = kInfinity;
    for (const auto& times : times_) least = std::min(least, times.without_s);
    std::vector<StageTimes> stages;
    for (std::uint32_t stage = 0; stage < task_.pipeline; ++stage) {
      stages.push_back({.compute_s = layers_[stage] * least + rest_s[stage]});
    }
    return pipeline_s(stages, problem_.chunks);
  }

  void offer(const Strategy& rest, const std::vector<Chosen>& chosen,
             const std::vector<double>& rest_s) {
    std::vector<StageTimes> times(chosen.size());
    for (std::size_t stage = 0; stage < chosen.size(); ++stage) {
      for (const std::size_t s : chosen[stage]) {
        times[stage].compute_s += times_[s].without_s;
        times[stage].with_reduction_s += times_[s].with_reduction_s;
      }
      times[stage].compute_s += rest_s[stage];
    }
    const double step_s = pipeline_s(times, problem_.chunks);
    if (!(step_s < best_.step_s)) return;
    best_ = {.step_s = step_s, .stages = {}, .rest = rest};
    for (std::uint32_t stage = 0; stage < chosen.size(); ++stage) {
      StagePlan plan{.layers = {}, .memory_mb = taken_mb(rest, stage)};
      for (const std::size_t s : chosen[stage]) {
        plan.layers.push_back(strategies_[s]);
        plan.memory_mb += memory_[stage][s];
      }
      best_.stages.push_back(std::move(plan));
    }
  }

  const CostModel& costs_;
  const Problem& problem_;
  const std::vector<Strategy>& all_;
  std::uint64_t usable_;
  Best best_;
  std::uint64_t least_needed_mb_ = std::numeric_limits<std::uint64_t>::max();

  Task task_;
  std::vector<Strategy> strategies_;
  std::vector<CostModel::Times> times_;
  std::vector<double> cost_;
  std::vector<double> transition_;
  std::vector<std::vector<std::uint64_t>> memory_;  // [stage][strategy]
  std::vector<std::uint32_t> layers_;               // by stage
  std::uint64_t buffer_mb_ = 0;
  std::vector<std::map<std::uint64_t, std::optional<Chosen>>> solved_;  // [stage], by budget
};

proto::Error does_not_fit(const Problem& problem, std::uint64_t needed_mb) {
  const std::uint64_t usable = usable_memory_mb(problem.memory_mb);
  std::string message = fmt::format(
      "no plan fits into the {} MB that it may use of a device's {} MB: the smallest needs {} MB, "
      "{} MB more; ",
      usable, problem.memory_mb, needed_mb, needed_mb - usable);
  for (std::uint64_t gb = problem.memory_mb / 1024 + 1; gb * 1024 <= kMaxMemoryMb; ++gb) {
    if (usable_memory_mb(gb * 1024) < needed_mb) continue;
    message += fmt::format("devices of {} GB would do, or try ", gb);
    break;
  }
  return {proto::ErrorKind::kResource, message + "more devices, more chunks or a shorter sequence"};
}

}  // namespace

proto::Result<FoundPlan> search(const Profile& profile, const Problem& problem) {
  if (const auto good = check(problem); !good) return good.error();
  if (const auto good = check(profile, problem.devices); !good) return good.error();
  const auto model = at_sequence(profile, problem.sequence);
  if (!model) return model.error();
  const CostModel costs(profile, *model, problem);
  FoundPlan result;
  result.candidates = candidates(problem.space());
  result.usable_mb = usable_memory_mb(problem.memory_mb);
  Search search(costs, problem, result.candidates);
  for (const Task& task : tasks(problem)) search.run(task);
  if (search.best().stages.empty()) return does_not_fit(problem, search.least_needed_mb());
  result.stages = search.best().stages;
  result.rest = search.best().rest;
  result.step_s = search.best().step_s;
  result.samples_per_s = problem.batch / result.step_s;
  return result;
}

}  // namespace longhaul::scheduler::galvatron
