// Planning of disaggregated units: time, gap to the best plan there is, utilisation beside the
// uniform plan, and what reordering gains.
#include "scheduler/disaggregated/disaggregated.hpp"
#include "scheduler/reorder.hpp"
#include "tests/unit/scheduler/units/multimodal_72b.hpp"
#include "tests/unit/scheduler/units/random_units.hpp"
#include "tests/unit/scheduler/units/skewed_batch.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace longhaul::scheduler;
using Json = nlohmann::ordered_json;  // the first column says which table a row belongs to

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void add(Json& rows, Json row) {
  std::string line;
  for (const auto& [key, value] : row.items()) {
    const std::string text = value.is_number_float() ? fmt::format("{:.5g}", value.get<double>())
                             : value.is_string()     ? value.get<std::string>()
                                                     : value.dump();
    line += fmt::format("{}{} {}", line.empty() ? "" : ", ", key, text);
  }
  fmt::print("{}\n", line);
  std::fflush(stdout);
  rows.push_back(std::move(row));
}

void time_to_plan(Json& rows) {
  for (const bool whole_images : {false, true}) {
    for (const std::uint32_t devices : {128U, 1296U, 10368U}) {
      const UnitsProblem problem = multimodal_72b({.devices = devices,
                                                   .batch = devices == 10368 ? 15360U : 1920U,
                                                   .whole_images = whole_images});
      std::vector<double> times;
      DisaggregatedPlans plans;
      for (int i = 0; i < 11; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        plans = disaggregated_plans(problem).value();
        times.push_back(seconds_since(begin));
      }
      add(rows, {{"planning", whole_images ? "72 B, whole images" : "72 B, samples cut at will"},
                 {"devices", devices},
                 {"median_ms", median(times) * 1e3},
                 {"worst_ms", *std::max_element(times.begin(), times.end()) * 1e3},
                 {"backbone_cases", plans.backbone_cases},
                 {"searched", plans.searched}});
    }
  }
}

// One to four units of any proportion, one or two pools, some with whole pieces.
void time_of_random_problems(Json& rows) {
  std::vector<double> times;
  std::size_t most_searched = 0;
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    UnitsProblem problem = random_units(seed);
    for (DevicePool& pool : problem.pools) {
      pool.devices = 1296 / static_cast<std::uint32_t>(problem.pools.size());
    }
    problem.layers = 80;
    problem.batch = 1920;
    problem.micro_batch = 1;
    const auto begin = std::chrono::steady_clock::now();
    const auto plans = disaggregated_plans(problem);
    times.push_back(seconds_since(begin));
    if (plans) most_searched = std::max(most_searched, plans->searched);
  }
  add(rows, {{"planning", "random, seeds 1 to 200"},
             {"devices", 1296},
             {"median_ms", median(times) * 1e3},
             {"worst_ms", *std::max_element(times.begin(), times.end()) * 1e3},
             {"backbone_cases", ""},
             {"searched", most_searched}});
}

void gap_to_every_plan(Json& rows) {
  std::vector<double> gaps;
  std::uint64_t plans = 0;
  for (std::uint64_t seed = 1001; seed <= 2000; ++seed) {
    const UnitsProblem problem = random_units(seed);
    const auto planned = disaggregated_plans(problem);
    const Trial trial = try_every_plan(problem);
    if (planned.has_value() != (trial.plans > 0)) {
      fmt::print(stderr, "seed {}: the planner and the trial disagree on what fits\n", seed);
      std::exit(1);
    }
    plans += trial.plans;
    if (planned) gaps.push_back(planned->best_first.front().step_s / trial.step_s - 1.0);
  }
  add(rows, {{"over_the_best_plan", "random, seeds 1001 to 2000"},
             {"feasible", gaps.size()},
             {"plans_tried", plans},
             {"median_percent", median(gaps) * 100.0},
             {"worst_percent", *std::max_element(gaps.begin(), gaps.end()) * 100.0}});
  gaps.clear();
  plans = 0;
  for (const bool whole_images : {false, true}) {
    for (const std::uint32_t devices : {48U, 60U, 72U}) {
      const UnitsProblem problem =
          multimodal_72b({.devices = devices, .batch = 48, .whole_images = whole_images});
      const Trial trial = try_every_plan(problem);
      plans += trial.plans;
      gaps.push_back(disaggregated_plans(problem).value().best_first.front().step_s / trial.step_s -
                     1.0);
    }
  }
  add(rows, {{"over_the_best_plan", "72 B on 48, 60 and 72 devices"},
             {"feasible", gaps.size()},
             {"plans_tried", plans},
             {"median_percent", median(gaps) * 100.0},
             {"worst_percent", *std::max_element(gaps.begin(), gaps.end()) * 100.0}});
}

// Per unit: tensor, data and pipeline degree, and r where it recomputes.
std::string degrees(const UnitsProblem& problem, const UnitsPlan& plan) {
  std::string text;
  for (std::size_t u = 0; u < plan.units.size(); ++u) {
    const UnitPlacement& place = plan.units[u];
    const bool recomputes = problem.units[u].options[place.option].activation_share < 1.0;
    text += fmt::format("{}t{}d{}p{}{}", text.empty() ? "" : " ", place.tensor, place.data,
                        place.pipeline, recomputes ? "r" : "");
  }
  return text;
}

void utilisation(Json& rows) {
  for (const bool whole_images : {false, true}) {
    const UnitsProblem problem = multimodal_72b({.whole_images = whole_images});
    const auto row = [&](const std::string& name, const UnitsPlan& plan) {
      const double simulated = one_f_one_b_s(problem, plan);
      add(rows, {{"utilisation", name},
                 {"degrees", degrees(problem, plan)},
                 {"devices", plan.devices_used},
                 {"step_s", plan.step_s},
                 {"mfu", plan.mfu},
                 {"longest_path_s", simulated},
                 {"longest_path_mfu", mfu_at(problem, plan, simulated)},
                 {"samples_per_s", problem.batch / simulated}});
    };
    const std::string suffix = whole_images ? ", whole images" : "";
    row("disaggregated" + suffix, disaggregated_plans(problem).value().best_first.front());
    const std::vector<UnitsPlan> several = disaggregated_plans(problem, 64).value().best_first;
    row("disaggregated, best longest path of 64 plans" + suffix,
        *std::min_element(several.begin(), several.end(),
                          [&](const UnitsPlan& a, const UnitsPlan& b) {
                            return one_f_one_b_s(problem, a) < one_f_one_b_s(problem, b);
                          }));
    row("uniform" + suffix, uniform_plan(problem).value());
  }
}

void order_in_the_pipeline(Json& rows) {
  struct Case {
    Skew skew;
    const char* name;
  };
  const std::vector<Case> cases{
      {{.stages = 4, .micro_batches = 16}, "4 stages, 16 micro-batches"},
      {{.stages = 6, .micro_batches = 24}, "6 stages, 24 micro-batches"},
      {{.stages = 12, .micro_batches = 48}, "12 stages, 48 micro-batches"},
      {{.stages = 12, .micro_batches = 160}, "12 stages, 160 micro-batches"}};
  for (const Case& at : cases) {
    for (const double sigma : {0.5, 1.0}) {
      Skew skew = at.skew;
      skew.sigma = sigma;
      std::vector<double> best_fit;
      std::vector<double> exchanged;
      std::vector<double> times;
      for (std::uint64_t seed = 1; seed <= 41; ++seed) {
        const SkewedBatch batch(seed, skew);
        const auto begin = std::chrono::steady_clock::now();
        const PipelineOrder order =
            pipeline_order(skew.stages, skew.micro_batches, batch.durations());
        times.push_back(seconds_since(begin));
        best_fit.push_back(order.arrival_s / order.best_fit_s);
        exchanged.push_back(order.arrival_s / order.total_s);
      }
      add(rows, {{"pipeline_order", fmt::format("{}, sigma {}", at.name, sigma)},
                 {"best_fit_median_speedup", median(best_fit)},
                 {"best_fit_least", *std::min_element(best_fit.begin(), best_fit.end())},
                 {"with_exchanges_median_speedup", median(exchanged)},
                 {"with_exchanges_least", *std::min_element(exchanged.begin(), exchanged.end())},
                 {"median_ms", median(times) * 1e3}});
    }
  }
}

void order_across_replicas(Json& rows) {
  for (const std::uint32_t replicas : {8U, 12U, 64U}) {
    std::vector<double> arrival;
    std::vector<double> equal;
    std::vector<double> any;
    const std::size_t each = 1920 / replicas;
    for (std::uint64_t seed = 1; seed <= 41; ++seed) {
      const std::vector<double> costs = log_normal(seed, each * replicas, 1.0);
      double mean = 0;
      double largest = 0;
      for (std::size_t r = 0; r < replicas; ++r) {
        double load = 0;
        for (std::size_t i = 0; i < each; ++i) load += costs[r * each + i];
        mean += load / replicas;
        largest = std::max(largest, load);
      }
      arrival.push_back(largest / mean);
      equal.push_back(balance_replicas(costs, replicas, ReplicaCounts::kEqual).largest / mean);
      any.push_back(balance_replicas(costs, replicas, ReplicaCounts::kAny).largest / mean);
    }
    add(rows, {{"across_replicas",
                fmt::format("{} samples on {} replicas, sigma 1", each * replicas, replicas)},
               {"arrival_most_over_mean", median(arrival)},
               {"equal_counts_most_over_mean", median(equal)},
               {"any_counts_most_over_mean", median(any)}});
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string_view> arguments(argv + 1, argv + argc);
  const bool to_file = arguments.size() == 2 && arguments[0] == "--json";
  if (!arguments.empty() && !to_file) {
    std::fputs("usage: bench_disaggregated [--json FILE]\n", stderr);
    return 2;
  }
  Json rows = Json::array();
  time_to_plan(rows);
  time_of_random_problems(rows);
  gap_to_every_plan(rows);
  utilisation(rows);
  order_in_the_pipeline(rows);
  order_across_replicas(rows);
  if (to_file) std::ofstream(std::string(arguments[1])) << rows.dump(2) << "\n";
  return 0;
}
