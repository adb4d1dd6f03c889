// Groupings of the fleet, from quick plans of many to thorough plans of the best.
#include "scheduler/groups/grouped_problem.hpp"
#include "scheduler/planners/evaluation.hpp"
#include "scheduler/planners/plan_tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <set>
#include <utility>

namespace longhaul::scheduler {
namespace {

constexpr int kRounds = 3;
constexpr std::size_t kFavourites = 2;
constexpr std::size_t kMostDivisions = 14;  // of a site, that are tried
// Parts of the time: for the pipeline of single devices, and until single sites are changed.
constexpr double kAloneShare = 0.4;
constexpr double kChangesUntil = 0.75;

struct Candidate {
  GroupedPlan plan;
  double score = kUnlimited;
  double step_s = kUnlimited;

  [[nodiscard]] bool better_than(const Candidate& other) const {
    return score != other.score ? score < other.score : step_s < other.step_s;
  }
};

using Division = std::vector<std::size_t>;  // of each site, into so many groups

class HybridSearch {
 public:
  HybridSearch(const PlanningProblem& problem, const PlannerBudget& budget)
      : base_(std::make_shared<const PlanningProblem>(problem)),
        budget_(budget),
        start_(std::chrono::steady_clock::now()),
        sites_(problem.fleet.sites.size()) {
    std::map<std::string, double> alone_s;  // of each kind
    const Workload& workload = problem.workloads.front();
    for (std::size_t k = 0; k < workload.kinds.size(); ++k) {
      for (const StageTime& time : workload.times[k]) alone_s[workload.kinds[k]] += time.sum();
    }
    for (std::size_t d = 0; d < problem.fleet.devices.size(); ++d) {
      if (problem.constraints.excluded_nodes.contains(problem.fleet.devices[d].node)) continue;
      sites_[problem.fleet.site_of(d)].push_back(d);
    }
    // Neighbours are alike and near.
    for (std::vector<std::size_t>& site : sites_) {
      std::ranges::stable_sort(site, {}, [&](std::size_t d) {
        const FleetDevice& device = problem.fleet.devices[d];
        return std::pair(alone_s[device.kind] / device.speed, device.host);
      });
    }
  }

  proto::Result<GroupedPlan> run() {
    take_single_devices();
    std::vector<std::pair<Candidate, Division>> found;
    for (const Division& division : divisions()) {
      if (auto quick = plan(division, PlannerKind::kOpFence, {})) {
        found.emplace_back(std::move(*quick), division);
      }
    }
    std::ranges::stable_sort(
        found, [](const auto& a, const auto& b) { return a.first.better_than(b.first); });
    if (!found.empty()) change_sites(found.front());
    for (std::size_t i = 0; i < std::min(kFavourites, found.size()); ++i) {
      offer(found[i].first);
      const auto rounds = static_cast<double>((kFavourites - i) * kRounds);
      const PlannerBudget share{.seconds = std::max(0.05, left_s() / rounds),
                                .evaluations = budget_.evaluations / 8};
      if (auto thorough = plan(found[i].second, PlannerKind::kAuto, share)) offer(*thorough);
    }
    if (best_.plan.stages.empty()) return error_;
    return std::move(best_.plan);
  }

 private:
  [[nodiscard]] double left_s() const {
    const std::chrono::duration<double> gone = std::chrono::steady_clock::now() - start_;
    return budget_.seconds - gone.count();
  }

  void offer(const Candidate& candidate) {
    if (candidate.better_than(best_)) best_ = candidate;
  }

  void take_single_devices() {
    const PlannerBudget share{.seconds = kAloneShare * budget_.seconds,
                              .evaluations = budget_.evaluations};
    const auto placed = make_plan(*base_, PlannerKind::kAuto, share);
    if (!placed) {
      error_ = proto::with_context("hybrid, stages of one device", placed.error());
      return;
    }
    const PlanCost cost = simulated_cost(*base_, *placed);
    offer({.plan = as_grouped(*base_, *placed), .score = cost.score, .step_s = cost.step_s});
  }

  [[nodiscard]] std::vector<Division> divisions() const {
    std::size_t most = 1;
    for (const auto& site : sites_) most = std::max(most, site.size());
    std::set<std::size_t> sizes;  // of groups
    for (std::size_t size = 2; size <= most; ++size) {
      if (most <= kMostDivisions || (size & (size - 1)) == 0 || most % size == 0) {
        sizes.insert(size);
      }
    }
    std::set<Division> found;
    for (const std::size_t size : sizes) {
      Division division;
      bool any = false;
      for (const auto& site : sites_) {
        division.push_back((site.size() + size - 1) / size);
        any = any || division.back() < site.size();
      }
      if (any) found.insert(division);
    }
    return {found.begin(), found.end()};
  }

  // Each site's devices in a row, as even as whole numbers allow.
  [[nodiscard]] Groups groups_of(const Division& division) const {
    Groups groups;
    for (std::size_t s = 0; s < sites_.size(); ++s) {
      const auto& site = sites_[s];
      for (std::size_t g = 0; g < division[s]; ++g) {
        const auto at = [&](std::size_t i) {
          return site.begin() + static_cast<std::ptrdiff_t>(i * site.size() / division[s]);
        };
        groups.emplace_back(at(g), at(g + 1));
      }
    }
    return groups;
  }

  // Order and cuts by a pipeline planner, strategies that fit, and again with their times.
  std::optional<Candidate> plan(const Division& division, PlannerKind planner,
                                const PlannerBudget& budget) {
    GroupedProblem grouped(base_, groups_of(division));
    std::optional<Candidate> best;
    for (int round = 0; round < kRounds; ++round) {
      const auto placed = make_plan(grouped.hopeful(), planner, budget);
      if (!placed) {
        error_ = placed.error();
        break;
      }
      bool fits = true;
      for (std::size_t s = 0; s < placed->stages.size(); ++s) {
        if (!grouped.fit(*placed, s)) fits = false;
      }
      if (!fits) continue;
      PlanningProblem exact = grouped.exact(*placed);
      PlacedPipeline told = *placed;
      choose_codecs(exact, told);
      if (!check_placement(exact, told).empty()) told = *placed;
      if (!check_placement(exact, told).empty()) continue;
      const PlanCost cost = simulated_cost(exact, told);
      Candidate candidate{
          .plan = grouped.plan(std::move(exact), told), .score = cost.score, .step_s = cost.step_s};
      if (best && !candidate.better_than(*best)) break;
      best = std::move(candidate);
    }
    return best;
  }

  // One group more or less at one site, while that helps.
  void change_sites(std::pair<Candidate, Division>& from) {
    int tries = budget_.evaluations > 0 ? 24 : 1'000'000;
    bool better = true;
    while (better) {
      better = false;
      for (std::size_t s = 0; s < sites_.size(); ++s) {
        for (const int step : {-1, 1}) {
          const std::size_t count = from.second[s] + static_cast<std::size_t>(step);
          if (count < 1 || count > sites_[s].size()) continue;
          if (tries-- <= 0 ||
              (budget_.evaluations == 0 && left_s() < (1.0 - kChangesUntil) * budget_.seconds)) {
            return;
          }
          Division changed = from.second;
          changed[s] = count;
          auto candidate = plan(changed, PlannerKind::kOpFence, {});
          if (!candidate || !candidate->better_than(from.first)) continue;
          from = {std::move(*candidate), std::move(changed)};
          better = true;
        }
      }
    }
  }

  std::shared_ptr<const PlanningProblem> base_;
  PlannerBudget budget_;
  std::chrono::steady_clock::time_point start_;
  std::vector<std::vector<std::size_t>> sites_;  // usable devices
  Candidate best_;
  proto::Error error_{proto::ErrorKind::kResource, "hybrid finds no plan that holds"};
};

}  // namespace

proto::Result<GroupedPlan> plan_hybrid(const PlanningProblem& problem,
                                       const PlannerBudget& budget) {
  if (auto good = check_problem(problem); !good) return good.error();
  if (problem.constraints.devices > 0) {
    return proto::configuration_error(
        "hybrid takes as many devices as serve; exclude nodes instead of saying how many to use");
  }
  return HybridSearch(problem, budget).run();
}

}  // namespace longhaul::scheduler
