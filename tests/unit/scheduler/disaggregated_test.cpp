// Claims about plans of disaggregated units: the best there is, valid, or an error that helps.
#include "scheduler/disaggregated/disaggregated.hpp"

#include "scheduler/disaggregated/replica_search.hpp"
#include "tests/unit/scheduler/units/multimodal_72b.hpp"
#include "tests/unit/scheduler/units/random_units.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>

namespace longhaul::scheduler {
namespace {

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

// Everything that must hold of a plan, whoever made it.
void check_plan(const UnitsProblem& problem, const UnitsPlan& plan) {
  REQUIRE(plan.units.size() == problem.units.size());
  const UnitPlacement& backbone = plan.units[problem.backbone];
  CHECK(plan.micro_batches * backbone.data * problem.micro_batch == problem.batch);
  CHECK(backbone.pipeline <= problem.layers);
  std::vector<std::uint64_t> used(problem.pools.size());
  double fill = 0;
  double largest = 0;
  for (std::size_t u = 0; u < plan.units.size(); ++u) {
    const UnitPlacement& place = plan.units[u];
    const UnitOption& option = problem.units[u].options.at(place.option);
    CHECK(place.pool == option.pool);
    CHECK(place.tensor == option.tensor);
    CHECK(place.data >= 1);
    if (u != problem.backbone) CHECK(place.pipeline == 1);
    CHECK(place.memory_bytes ==
          memory_need(problem, u, option, {backbone.data, backbone.pipeline}, place.data).total());
    CHECK(place.memory_bytes <= problem.pools[place.pool].memory_bytes);
    CHECK(place.round_s ==
          round_s(problem, u, option, {backbone.data, backbone.pipeline}, place.data));
    used[place.pool] += place.devices();
    fill += u == problem.backbone ? problem.micro_batch * option.sample_s : place.round_s;
    largest = std::max(largest, place.round_s);
  }
  std::uint64_t devices = 0;
  for (std::size_t p = 0; p < used.size(); ++p) {
    CHECK(used[p] <= problem.pools[p].devices);
    devices += used[p];
  }
  CHECK(plan.devices_used == devices);
  CHECK(plan.units[plan.bottleneck].round_s == largest);
  CHECK(plan.step_s == doctest::Approx(fill + largest * (plan.micro_batches - 1)).epsilon(1e-12));
}

TEST_CASE("disaggregated: agrees with trying every plan; nothing fits for both or for neither") {
  int feasible = 0;
  double worst = 1.0;
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    CAPTURE(seed);
    const UnitsProblem problem = random_units(seed);
    const Trial trial = try_every_plan(problem);
    const auto plans = disaggregated_plans(problem);
    REQUIRE(plans.has_value() == (trial.plans > 0));
    if (!plans) {
      CHECK(plans.error().kind == proto::ErrorKind::kResource);
      CHECK(!contains(plans.error().message, "\n"));
      continue;
    }
    ++feasible;
    check_plan(problem, plans->best_first.front());
    worst = std::max(worst, plans->best_first.front().step_s / trial.step_s);
    CHECK(plans->best_first.front().step_s == doctest::Approx(trial.step_s).epsilon(1e-9));
  }
  MESSAGE(feasible << " of 500 are feasible; worst over the best: " << worst);
  CHECK(feasible >= 200);
}

TEST_CASE("disaggregated: several plans come best first, all valid, no two alike") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    const UnitsProblem problem = random_units(seed);
    const auto one = disaggregated_plans(problem);
    if (!one) continue;
    const auto plans = disaggregated_plans(problem, 5);
    REQUIRE(plans.has_value());
    REQUIRE(!plans->best_first.empty());
    CHECK(plans->best_first.size() <= 5);
    CHECK(plans->best_first.front().step_s == one->best_first.front().step_s);
    for (std::size_t i = 0; i < plans->best_first.size(); ++i) {
      check_plan(problem, plans->best_first[i]);
      if (i == 0) continue;
      CHECK(plans->best_first[i - 1].step_s <= plans->best_first[i].step_s);
    }
  }
}

TEST_CASE("disaggregated: never slower than the uniform plan, which is valid too") {
  int both = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    const UnitsProblem problem = random_units(seed);
    const auto uniform = uniform_plan(problem);
    if (!uniform) {
      CHECK(uniform.error().kind == proto::ErrorKind::kResource);
      continue;
    }
    ++both;
    check_plan(problem, *uniform);
    for (const UnitPlacement& place : uniform->units) {
      CHECK(place.tensor == uniform->units[problem.backbone].tensor);
      CHECK(place.data == uniform->units[problem.backbone].data);
      CHECK(place.pool == uniform->units[problem.backbone].pool);
    }
    const auto plans = disaggregated_plans(problem);
    REQUIRE(plans.has_value());
    CHECK(plans->best_first.front().step_s <= uniform->step_s * (1.0 + 1e-12));
  }
  CHECK(both >= 50);
}

TEST_CASE("disaggregated: 72 billion parameters on 1296 devices take few searches") {
  const UnitsProblem problem = multimodal_72b({});
  const auto plans = disaggregated_plans(problem, 3);
  REQUIRE(plans.has_value());
  const UnitsPlan& best = plans->best_first.front();
  check_plan(problem, best);
  const auto uniform = uniform_plan(problem);
  REQUIRE(uniform.has_value());
  CHECK(plans->searched < 2000);
  CHECK(best.mfu > uniform->mfu);
  CHECK(best.step_s < uniform->step_s);
  MESSAGE(plans->backbone_cases << " backbone cases, " << plans->searched << " searched; MFU "
                                << best.mfu << " against " << uniform->mfu);
}

TEST_CASE("replicas: the bound is below every choice, and the search finds the best of them") {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    CAPTURE(seed);
    std::mt19937_64 random(seed);
    std::vector<ReplicaTask> tasks(1 + random() % 3);
    for (ReplicaTask& task : tasks) {
      task = {.pool = random() % 2,
              .tensor = static_cast<std::uint32_t>(1 + random() % 3),
              .work_s = 0.1 + static_cast<double>(random() % 100) / 10.0,
              .pieces = random() % 2 == 0 ? 0 : 1 + random() % 12,
              .least = static_cast<std::uint32_t>(1 + random() % 2)};
    }
    const std::vector<std::uint32_t> devices{static_cast<std::uint32_t>(2 + random() % 20),
                                             static_cast<std::uint32_t>(2 + random() % 20)};
    const ReplicaProblem problem{.tasks = tasks,
                                 .devices = devices,
                                 .fill_s = 1.0,
                                 .bottleneck_s = static_cast<double>(random() % 30) / 10.0,
                                 .repeats = static_cast<double>(random() % 30)};
    double best = std::numeric_limits<double>::infinity();
    std::vector<std::uint32_t> left = devices;
    const std::function<void(std::size_t, double, double)> choose = [&](std::size_t k, double sum,
                                                                        double largest) {
      if (k == tasks.size()) {
        best = std::min(best, sum + problem.repeats * largest);
        return;
      }
      const ReplicaTask& task = tasks[k];
      for (std::uint32_t r = task.least; r * task.tensor <= left[task.pool]; ++r) {
        left[task.pool] -= r * task.tensor;
        choose(k + 1, sum + task.round_s(r), std::max(largest, task.round_s(r)));
        left[task.pool] += r * task.tensor;
      }
    };
    choose(0, problem.fill_s, problem.bottleneck_s);
    CHECK(replica_bound(problem) <= best * (1.0 + 1e-12));
    const auto found = best_replicas(problem, std::numeric_limits<double>::infinity());
    REQUIRE(found.has_value() == std::isfinite(best));
    if (!found) continue;
    CHECK(found->cost_s == doctest::Approx(best).epsilon(1e-12));
    CHECK_FALSE(best_replicas(problem, best * (1.0 - 1e-9)).has_value());
  }
}

// An encoder and a backbone of 4 layers, with round numbers; gibibytes.
UnitsProblem small_problem() {
  constexpr double kGib = 1024.0 * 1024.0 * 1024.0;
  UnitsProblem problem;
  problem.pools = {{.name = "small", .devices = 8, .memory_bytes = 10 * kGib}};
  problem.units = {{.name = "encoder",
                    .options = {{0, 1, 1.0}, {0, 2, 0.6}},
                    .memory = {.state_bytes = 4 * kGib}},
                   {.name = "backbone",
                    .options = {{0, 1, 8.0}, {0, 2, 4.5}},
                    .memory = {.state_bytes = 30 * kGib, .activation_bytes = 4 * kGib}}};
  problem.backbone = 1;
  problem.layers = 4;
  problem.batch = 8;
  problem.micro_batch = 2;
  return problem;
}

TEST_CASE("disaggregated: too little memory names the unit, the excess and the ways out") {
  UnitsProblem problem = small_problem();
  problem.units[0].memory.fixed_bytes = problem.pools[0].memory_bytes;
  const auto plans = disaggregated_plans(problem);
  REQUIRE(!plans.has_value());
  CHECK(plans.error().kind == proto::ErrorKind::kResource);
  CHECK_MESSAGE(
      contains(plans.error().message,
               "unit 'encoder' needs 12.0 GiB per device at the least (states 2.0, "
               "activations 0.0, fixed 10.0; tensor degree 2 and any number of replicas), "
               "2.0 more than pool 'small' has"),
      plans.error().message);
  CHECK_MESSAGE(contains(plans.error().message, "GiB per device of pool 'small' instead of 10.0"),
                plans.error().message);
}

TEST_CASE("disaggregated: too few devices tells how many are missing, and that many suffice") {
  UnitsProblem problem = small_problem();
  // States 40 / 8 = 5 GiB and activations 4 x 2 samples / 8 x up to 4 in flight = 4 GiB fit 8
  // devices.
  problem.pools[0].devices = 8;
  const auto plans = disaggregated_plans(problem);
  REQUIRE(!plans.has_value());
  CHECK_MESSAGE(contains(plans.error().message,
                         "devices: memory asks for at least 9 (encoder 1, backbone 8), and there "
                         "are 8: 1 too few"),
                plans.error().message);
  CHECK_MESSAGE(contains(plans.error().message, "1 more devices in pool 'small'"),
                plans.error().message);
  CHECK_MESSAGE(contains(plans.error().message, "micro-batches of 1 instead of 2"),
                plans.error().message);
  UnitsProblem larger = problem;
  larger.pools[0].devices = 9;
  CHECK(disaggregated_plans(larger).has_value());
  UnitsProblem finer = problem;
  finer.micro_batch = 1;
  CHECK(disaggregated_plans(finer).has_value());
}

TEST_CASE("disaggregated: the missing devices of random problems suffice, one fewer does not") {
  int checked = 0;
  for (std::uint64_t seed = 1; seed <= 400; ++seed) {
    CAPTURE(seed);
    UnitsProblem problem = random_units(seed);
    if (problem.pools.size() > 1) continue;
    const auto plans = disaggregated_plans(problem);
    if (plans) continue;
    const std::string& message = plans.error().message;
    const std::size_t at = message.find("what would make it fit: ");
    if (!message.starts_with("devices:")) continue;
    CAPTURE(message);
    REQUIRE(at != std::string::npos);
    const auto missing = static_cast<std::uint32_t>(std::stoul(message.substr(at + 24)));
    problem.pools[0].devices += missing - 1;
    CHECK(!disaggregated_plans(problem).has_value());
    problem.pools[0].devices += 1;
    CHECK(disaggregated_plans(problem).has_value());
    ++checked;
  }
  CHECK(checked >= 20);
}

TEST_CASE("disaggregated: contradictory input is a configuration error with its numbers") {
  const auto refused = [](const UnitsProblem& problem, std::string_view part) {
    const auto plans = disaggregated_plans(problem);
    REQUIRE(!plans.has_value());
    CHECK(plans.error().kind == proto::ErrorKind::kConfiguration);
    CHECK_MESSAGE(contains(plans.error().message, part), plans.error().message);
    CHECK(!uniform_plan(problem).has_value());
  };
  UnitsProblem problem = small_problem();
  problem.micro_batch = 3;
  refused(problem, "8 samples cannot be made of micro-batches of 3");
  problem = small_problem();
  problem.units[1].options[0].sample_s = -1.0;
  refused(problem, "unit 'backbone' takes -1 s");
  problem = small_problem();
  problem.units[0].options.clear();
  refused(problem, "unit 'encoder' has no tensor degree");
  problem = small_problem();
  problem.units[0].options[0].pool = 1;
  refused(problem, "unit 'encoder' names pool 1 of 1");
  problem = small_problem();
  problem.backbone = 2;
  refused(problem, "unit 2 is to be the backbone");
  problem = small_problem();
  problem.pools[0].memory_bytes = std::nan("");
  refused(problem, "pool 'small' has memory nan");
  problem = small_problem();
  problem.units[1].pieces = 2;
  refused(problem, "backbone's samples cannot be cut");
  refused({}, "no unit");
}

}  // namespace
}  // namespace longhaul::scheduler
