// The planners against the optimum of small problems, against each other on a fleet of 64 devices,
// and on 1,000 devices.
#include "scheduler/planners/evaluation.hpp"
#include "tests/bench/planning/city_fleets.hpp"
#include "tests/bench/planning/models.hpp"
#include "tests/unit/scheduler/random_problems.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace longhaul;
using namespace longhaul::scheduler;
using Rows = nlohmann::ordered_json;

constexpr std::size_t kSmallCases = 200;

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

struct Gaps {
  std::vector<double> gaps;
  double worst = 0.0;
  std::uint64_t worst_seed = 0;

  void add(double gap, std::uint64_t seed) {
    gaps.push_back(gap);
    if (gap >= worst) {
      worst = gap;
      worst_seed = seed;
    }
  }
  [[nodiscard]] double mean() const {
    double sum = 0.0;
    for (const double gap : gaps) sum += gap;
    return sum / static_cast<double>(gaps.size());
  }
};

void small_cases(Rows& rows) {
  const std::vector<PlannerKind> planners{PlannerKind::kEqualOperators, PlannerKind::kEqualCompute,
                                          PlannerKind::kOpFence, PlannerKind::kDtFm,
                                          PlannerKind::kAuto};
  std::vector<Gaps> gaps(planners.size());
  double exhaustive_s = 0.0;
  double auto_s = 0.0;
  std::size_t cases = 0;
  std::size_t infeasible = 0;
  for (std::uint64_t seed = 0; cases < kSmallCases; ++seed) {
    const PlanningProblem problem = tests::random_problem(seed);
    auto start = std::chrono::steady_clock::now();
    const auto best = make_plan(problem, PlannerKind::kExhaustive);
    exhaustive_s += seconds_since(start);
    if (!best) {
      ++infeasible;
      continue;
    }
    ++cases;
    const double optimum_s = simulated_cost(problem, *best).step_s;
    for (std::size_t p = 0; p < planners.size(); ++p) {
      start = std::chrono::steady_clock::now();
      const auto plan = make_plan(problem, planners[p]);
      if (planners[p] == PlannerKind::kAuto) auto_s += seconds_since(start);
      if (!plan) continue;
      gaps[p].add(simulated_cost(problem, *plan).step_s / optimum_s - 1.0, seed);
    }
  }
  for (std::size_t p = 0; p < planners.size(); ++p) {
    const auto optimal = std::ranges::count_if(gaps[p].gaps, [](double gap) { return gap < 1e-9; });
    rows.push_back({{"against the optimum", planner_name(planners[p])},
                    {"cases", cases},
                    {"planned", gaps[p].gaps.size()},
                    {"mean gap %", 100.0 * gaps[p].mean()},
                    {"worst gap %", 100.0 * gaps[p].worst},
                    {"worst seed", gaps[p].worst_seed},
                    {"optimal", optimal}});
  }
  fmt::print("{} cases ({} drawn ones have no plan): exhaustive {:.1f} s, auto {:.1f} s in all\n",
             cases, infeasible, exhaustive_s, auto_s);
}

enum class Fleet64 { kCityByCity, kShuffled, kAllUsed };

std::string_view fleet_name(Fleet64 fleet) {
  switch (fleet) {
    case Fleet64::kCityByCity:
      return "nodes city by city";
    case Fleet64::kShuffled:
      return "nodes shuffled";
    case Fleet64::kAllUsed:
      return "all devices must be used";
  }
  return "";
}

PlanningProblem city_problem(const std::string& model, Fleet64 fleet) {
  PlanningProblem problem;
  const bool shuffled = fleet == Fleet64::kShuffled;
  if (fleet == Fleet64::kAllUsed) problem.constraints.devices = 64;
  problem.fleet = tests::city_fleet(LONGHAUL_TEN_CITIES, {.shuffled = shuffled});
  problem.schedules = {proto::ScheduleKind::kOneForwardOneBackward, proto::ScheduleKind::kGpipe};
  problem.run_ahead = {0, 2, 8};
  // Rates of one core of the host; an assumption like the devices' efficiency.
  problem.codecs = {
      {.name = "dense"},
      {.name = "int8", .ratio = 0.52, .encode_s_per_byte = 2e-10, .decode_s_per_byte = 1e-10},
      {.name = "int4", .ratio = 0.27, .encode_s_per_byte = 4e-10, .decode_s_per_byte = 2e-10}};
  if (model == "GPT-2 XL") {
    problem.batch = 256;
    for (const int size : {1, 2, 4}) {
      problem.workloads.push_back(tests::gpt_workload({}, size, tests::gpu_kinds()));
    }
  } else {
    problem.batch = 4096;
    for (const std::uint32_t size : {16U, 32U, 64U}) {
      problem.workloads.push_back(tests::resnet101_workload(size, tests::gpu_kinds()));
    }
  }
  return problem;
}

void planner_rows(const PlanningProblem& problem, const std::string& title,
                  const std::string& label, const std::vector<PlannerKind>& planners,
                  const PlannerBudget& budget, Rows& rows) {
  std::vector<double> rates;
  const std::size_t first = rows.size();
  for (const PlannerKind planner : planners) {
    const auto start = std::chrono::steady_clock::now();
    const auto plan = make_plan(problem, planner, budget);
    const double took_s = seconds_since(start);
    if (!plan) {
      fmt::print("{}: {}\n", label, plan.error().message);
      rates.push_back(0.0);
      rows.push_back({{title, label}, {"planner", planner_name(planner)}, {"plan s", took_s}});
      continue;
    }
    const PlanCost cost = simulated_cost(problem, *plan);
    std::set<std::size_t> sites;
    for (const PlacedStage& stage : plan->stages) {
      sites.insert(problem.fleet.site_of(stage.device));
    }
    rates.push_back(cost.tokens_per_s);
    rows.push_back({{title, label},
                    {"planner", planner_name(planner)},
                    {"step s", cost.step_s},
                    {"samples/s", problem.batch / cost.step_s},
                    {"auto is faster by", 0.0},
                    {"MFU %", 100.0 * cost.mfu},
                    {"stages", plan->stages.size()},
                    {"sites", sites.size()},
                    {"micro-batch", problem.workloads[plan->workload].micro_batch_size},
                    {"schedule", proto::schedule_name(plan->schedule)},
                    {"run_ahead", plan->run_ahead},
                    {"plan s", took_s}});
  }
  for (std::size_t p = 0; p < planners.size(); ++p) {
    if (rates[p] > 0.0) rows[first + p]["auto is faster by"] = rates.back() / rates[p];
  }
}

void cities(Rows& rows) {
  for (const char* model : {"GPT-2 XL", "ResNet-101"}) {
    for (const Fleet64 fleet : {Fleet64::kCityByCity, Fleet64::kShuffled, Fleet64::kAllUsed}) {
      planner_rows(city_problem(model, fleet), "64 GPUs, 8 cities",
                   fmt::format("{}, {}", model, fleet_name(fleet)),
                   {PlannerKind::kEqualOperators, PlannerKind::kEqualCompute, PlannerKind::kOpFence,
                    PlannerKind::kDtFm, PlannerKind::kAuto},
                   {.seconds = 9.0}, rows);
    }
  }
}

void large(Rows& rows) {
  PlanningProblem problem;
  problem.fleet = tests::city_fleet(LONGHAUL_TEN_CITIES, {.devices = 1000, .cities = 10});
  problem.schedules = {proto::ScheduleKind::kOneForwardOneBackward};
  problem.run_ahead = {0, 4};
  problem.batch = 256;
  problem.workloads.push_back(
      tests::gpt_workload({.layers = 83, .width = 4096, .heads = 32}, 1, tests::gpu_kinds()));
  const std::string label =
      fmt::format("1,000 GPUs, {} operators", problem.workloads[0].operators.size());
  planner_rows(
      problem, "large", label,
      {PlannerKind::kEqualCompute, PlannerKind::kOpFence, PlannerKind::kDtFm, PlannerKind::kAuto},
      {.seconds = 40.0}, rows);
  for (auto& row : rows) row["peak MB"] = peak_megabytes();
}

}  // namespace

int main(int argc, char** argv) {
  std::string json;
  std::set<std::string> wanted;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--json" && i + 1 < argc) {
      json = argv[++i];
    } else {
      wanted.insert(argv[i]);
    }
  }
  const auto asked = [&](const char* part) { return wanted.empty() || wanted.contains(part); };
  Rows rows = Rows::array();
  if (asked("large")) large(rows);  // first, as its memory is told
  if (asked("small")) small_cases(rows);
  if (asked("cities")) cities(rows);
  for (const auto& row : rows) fmt::print("{}\n", row.dump());
  if (!json.empty()) std::ofstream(json) << rows.dump(1) << '\n';
  return 0;
}
