// Enumerates the backbone's degrees, then the other units' options, cheapest bound first, until no
// bound is below the best plan.
#include "scheduler/disaggregated/disaggregated.hpp"

#include "scheduler/disaggregated/infeasible.hpp"
#include "scheduler/disaggregated/replica_search.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace longhaul::scheduler {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();

// One choice of everything about the backbone.
struct BackboneCase {
  std::size_t index = 0;  // of the option
  UnitOption option;
  BackboneDegrees degrees;
  double bound_s = 0;  // of all choices for the other units
};

// A unit's option, and the replicas that its memory asks for.
struct Offer {
  std::size_t option = 0;  // index
  ReplicaTask task;
};

class Planner {
 public:
  Planner(const UnitsProblem& problem, std::size_t keep) : problem_(problem), keep_(keep) {
    for (std::size_t u = 0; u < problem.units.size(); ++u) {
      if (u != problem.backbone) others_.push_back(u);
    }
  }

  DisaggregatedPlans run() {
    std::vector<BackboneCase> cases = backbone_cases();
    std::sort(cases.begin(), cases.end(),
              [](const BackboneCase& a, const BackboneCase& b) { return a.bound_s < b.bound_s; });
    result_.backbone_cases = cases.size();
    for (const BackboneCase& backbone : cases) {
      if (backbone.bound_s >= limit()) break;
      search(backbone);
    }
    return std::move(result_);
  }

 private:
  // One option of each other unit.
  struct Combination {
    double bound_s = 0;
    std::vector<std::size_t> offers;
  };

  [[nodiscard]] double limit() const {
    return result_.best_first.size() < keep_ ? kInfinite : result_.best_first.back().step_s;
  }

  // Other units together want at least this much; devices of all pools in one, memory ignored.
  [[nodiscard]] double bound(const BackboneCase& backbone) const {
    double work = 0;
    double roots = 0;
    double devices = 0;
    for (const DevicePool& pool : problem_.pools) devices += pool.devices;
    devices -=
        double{1} * backbone.option.tensor * backbone.degrees.data * backbone.degrees.pipeline;
    for (const std::size_t u : others_) {
      double least = kInfinite;
      for (const UnitOption& option : problem_.units[u].options) {
        least = std::min(least, option.sample_s * option.tensor);
      }
      least *= double{1} * problem_.micro_batch * backbone.degrees.data;
      work += least;
      roots += std::sqrt(least);
    }
    if (devices < static_cast<double>(others_.size())) return kInfinite;
    const double round = round_s(problem_, problem_.backbone, backbone.option, backbone.degrees, 1);
    const double fill = problem_.micro_batch * backbone.option.sample_s;
    if (others_.empty()) return fill + repeats(backbone.degrees) * round;
    return fill + roots * roots / devices +
           repeats(backbone.degrees) * std::max(round, work / devices);
  }

  [[nodiscard]] double repeats(BackboneDegrees degrees) const {
    return problem_.batch / problem_.micro_batch / degrees.data - 1;
  }

  [[nodiscard]] std::vector<BackboneCase> backbone_cases() const {
    std::vector<BackboneCase> cases;
    std::vector<std::uint32_t> data = divisors(problem_.batch / problem_.micro_batch);
    if (problem_.data > 0) std::erase_if(data, [&](std::uint32_t d) { return d != problem_.data; });
    const std::vector<std::uint32_t> pipeline = pipeline_degrees(problem_.layers);
    const std::vector<UnitOption>& options = problem_.units[problem_.backbone].options;
    for (std::size_t i = 0; i < options.size(); ++i) {
      const UnitOption& option = options[i];
      const DevicePool& pool = problem_.pools[option.pool];
      for (const std::uint32_t d : data) {
        for (const std::uint32_t p : pipeline) {
          if (std::uint64_t{option.tensor} * d * p > pool.devices) break;
          const BackboneDegrees degrees{.data = d, .pipeline = p};
          const UnitMemoryNeed need = memory_need(problem_, problem_.backbone, option, degrees, d);
          if (need.total() > pool.memory_bytes) continue;
          cases.push_back({.index = i, .option = option, .degrees = degrees});
          cases.back().bound_s = bound(cases.back());
          if (cases.back().bound_s == kInfinite) cases.pop_back();
        }
      }
    }
    return cases;
  }

  [[nodiscard]] std::vector<std::uint32_t> devices_left(const BackboneCase& backbone) const {
    std::vector<std::uint32_t> left;
    for (const DevicePool& pool : problem_.pools) left.push_back(pool.devices);
    left[backbone.option.pool] -=
        backbone.option.tensor * backbone.degrees.data * backbone.degrees.pipeline;
    return left;
  }

  // Options of a unit that fit, without those that another one beats wherever they fit.
  [[nodiscard]] std::vector<Offer> offers_of(std::size_t unit, BackboneDegrees degrees,
                                             const std::vector<std::uint32_t>& left) const {
    std::vector<Offer> offers;
    const std::uint64_t samples = std::uint64_t{problem_.micro_batch} * degrees.data;
    const std::vector<UnitOption>& options = problem_.units[unit].options;
    for (std::size_t i = 0; i < options.size(); ++i) {
      const UnitOption& option = options[i];
      const auto least = smallest_data_degree(problem_, unit, option, degrees,
                                              problem_.pools[option.pool].memory_bytes,
                                              left[option.pool] / option.tensor);
      if (!least) continue;
      offers.push_back({.option = i,
                        .task = {.pool = option.pool,
                                 .tensor = option.tensor,
                                 .work_s = static_cast<double>(samples) * option.sample_s,
                                 .pieces = samples * problem_.units[unit].pieces,
                                 .least = *least}});
    }
    std::vector<Offer> kept;
    for (std::size_t i = 0; i < offers.size(); ++i) {
      const bool beaten = std::any_of(offers.begin(), offers.end(), [&](const Offer& other) {
        const auto j = static_cast<std::size_t>(&other - offers.data());
        return j != i && beats(other.task, offers[i].task) &&
               (j < i || !beats(offers[i].task, other.task));
      });
      if (!beaten) kept.push_back(offers[i]);
    }
    return kept;
  }

  // Where b fits, a fits on the same devices and is as fast. With whole pieces, more but slower
  // replicas may take longer.
  static bool beats(const ReplicaTask& a, const ReplicaTask& b) {
    return a.pieces == 0 && a.pool == b.pool && b.tensor % a.tensor == 0 &&
           a.work_s * a.tensor <= b.work_s * b.tensor &&
           std::uint64_t{a.least} * a.tensor <= std::uint64_t{b.least} * b.tensor;
  }

  void search(const BackboneCase& backbone) {
    const std::vector<std::uint32_t> left = devices_left(backbone);
    std::vector<std::vector<Offer>> offers;
    for (const std::size_t u : others_) {
      offers.push_back(offers_of(u, backbone.degrees, left));
      if (offers.back().empty()) return;
    }
    std::vector<ReplicaTask> tasks(others_.size());
    const ReplicaProblem replicas{
        .tasks = tasks,
        .devices = left,
        .fill_s = problem_.micro_batch * backbone.option.sample_s,
        .bottleneck_s = round_s(problem_, problem_.backbone, backbone.option, backbone.degrees, 1),
        .repeats = repeats(backbone.degrees)};
    const auto choose = [&](const std::vector<std::size_t>& chosen) {
      for (std::size_t k = 0; k < chosen.size(); ++k) tasks[k] = offers[k][chosen[k]].task;
    };

    std::vector<Combination> combinations;
    std::vector<std::size_t> chosen(others_.size());
    for (bool more = true; more;) {
      choose(chosen);
      const double bound_s = replica_bound(replicas);
      if (bound_s < limit()) combinations.push_back({bound_s, chosen});
      more = false;
      for (std::size_t k = 0; k < chosen.size() && !more; ++k) {  // the next, as an odometer counts
        more = ++chosen[k] < offers[k].size();
        if (!more) chosen[k] = 0;
      }
    }
    std::sort(combinations.begin(), combinations.end(),
              [](const Combination& a, const Combination& b) {
                return a.bound_s != b.bound_s ? a.bound_s < b.bound_s : a.offers < b.offers;
              });
    for (const Combination& combination : combinations) {
      if (combination.bound_s >= limit()) break;
      ++result_.searched;
      choose(combination.offers);
      const auto best = best_replicas(replicas, limit());
      if (!best) continue;
      std::vector<std::size_t> options;
      for (std::size_t k = 0; k < offers.size(); ++k) {
        options.push_back(offers[k][combination.offers[k]].option);
      }
      store(backbone, std::move(options), best->replicas);
    }
  }

  void store(const BackboneCase& backbone, std::vector<std::size_t> options,
             std::vector<std::uint32_t> data) {
    const auto at = static_cast<std::ptrdiff_t>(problem_.backbone);
    options.insert(options.begin() + at, backbone.index);
    data.insert(data.begin() + at, backbone.degrees.data);
    UnitsPlan plan = price(problem_, options, backbone.degrees, data);
    std::vector<UnitsPlan>& plans = result_.best_first;
    const auto place = std::upper_bound(
        plans.begin(), plans.end(), plan,
        [](const UnitsPlan& a, const UnitsPlan& b) { return a.step_s < b.step_s; });
    plans.insert(place, std::move(plan));
    if (plans.size() > keep_) plans.pop_back();
  }

  const UnitsProblem& problem_;
  std::size_t keep_;
  std::vector<std::size_t> others_;  // units but the backbone
  DisaggregatedPlans result_;
};

}  // namespace

std::vector<std::uint32_t> divisors(std::uint32_t number) {
  std::vector<std::uint32_t> result;
  for (std::uint32_t d = 1; std::uint64_t{d} * d <= number; ++d) {
    if (number % d != 0) continue;
    result.push_back(d);
    if (d != number / d) result.push_back(number / d);
  }
  std::sort(result.begin(), result.end());
  return result;
}

std::vector<std::uint32_t> pipeline_degrees(std::uint32_t layers) {
  std::vector<std::uint32_t> result;
  std::uint32_t before = 0;
  for (std::uint32_t p = 1; p <= layers; ++p) {
    const std::uint32_t fullest = (layers + p - 1) / p;
    if (fullest != before) result.push_back(p);
    before = fullest;
  }
  return result;
}

proto::Result<DisaggregatedPlans> disaggregated_plans(const UnitsProblem& problem,
                                                      std::size_t keep) {
  if (auto checked = check_problem(problem); !checked) return checked.error();
  DisaggregatedPlans plans = Planner(problem, std::max<std::size_t>(keep, 1)).run();
  if (plans.best_first.empty()) return why_infeasible(problem);
  return plans;
}

}  // namespace longhaul::scheduler
