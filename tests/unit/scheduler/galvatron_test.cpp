// Claims about Galvatron's search on the profile of its own test suite. Where a number stands here
// that Galvatron does not publish, tests/galvatron/reference.py gives it too.
#include "scheduler/galvatron/search.hpp"

#include "daemon/configuration/galvatron_profile.hpp"
#include "scheduler/galvatron/pipeline_time.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <limits>
#include <string>

namespace longhaul::scheduler::galvatron {
namespace {

Profile sample_profile() {
  static const Profile profile =
      daemon::read_galvatron_profile(LONGHAUL_SOURCE_DIR "/tests/galvatron/profile", 8).value();
  return profile;
}

Problem reference_problem() {
  return {.layers = 28,
          .hidden = 4096,
          .sequence = 8192,
          .devices = 8,
          .memory_mb = 36 * 1024,
          .batch = 64,
          .chunks = 32};
}

std::string layers(const FoundPlan& plan) {
  std::string text;
  for (const StagePlan& stage : plan.stages) {
    text += text.empty() ? "" : " | ";
    for (auto first = stage.layers.begin(); first != stage.layers.end();) {
      const auto last =
          std::find_if(first, stage.layers.end(), [&](const Strategy& s) { return s != *first; });
      text += (first == stage.layers.begin() ? "" : ", ") + std::to_string(last - first) + " " +
              name(*first);
      first = last;
    }
  }
  return text;
}

TEST_CASE("galvatron: 50 candidates on 8 devices, each once, each on all devices") {
  const auto all = candidates({.devices = 8, .layers = 28});
  CHECK(all.size() == 50);
  CHECK(std::is_sorted(all.begin(), all.end()));
  CHECK(std::adjacent_find(all.begin(), all.end()) == all.end());
  CHECK(std::all_of(all.begin(), all.end(), [](const Strategy& s) {
    return s.pipeline * s.degree() * s.data == 8 && (s.tensor == 1 || s.ulysses == 1) &&
           (s.data > 1) == (s.sharding != Sharding::kNothing);
  }));
  CHECK(candidates({.devices = 8, .layers = 3}).size() == 40);  // two stages at most
  CHECK(candidates({.devices = 1, .layers = 28}).size() == 2);
}

TEST_CASE("galvatron: the notation") {
  const auto all = candidates({.devices = 8, .layers = 28});
  std::vector<std::string> names;
  for (const Strategy& strategy : all) names.push_back(name(strategy));
  for (const char* expected : {"1-1-8", "1-1-8f-c", "1-4*-2f-c", "1-4*-2f-c-sp", "1-8-1",
                               "1-8-1-c-sp", "2-2*-2-sp", "8-1-1-c"}) {
    CHECK(std::count(names.begin(), names.end(), expected) == 1);
  }
}

TEST_CASE("galvatron: the reference case") {
  const auto plan = search(sample_profile(), reference_problem());
  REQUIRE(plan.has_value());
  CHECK(plan->candidates.size() == 50);
  CHECK(plan->samples_per_s == doctest::Approx(2.6485091403918064).epsilon(1e-8));
  CHECK(layers(*plan) == "14 1-4*-2f-c, 12 1-4*-2f, 2 1-4*-2");
  CHECK(name(plan->rest) == "1-8-1");
  CHECK(plan->stages.front().memory_mb <= plan->usable_mb);
  CHECK(plan->usable_mb == 29492);
}

TEST_CASE("galvatron: the reference case, coarse") {
  Problem problem = reference_problem();
  problem.one_for_all = true;
  problem.chunks = 8;
  const auto plan = search(sample_profile(), problem);
  REQUIRE(plan.has_value());
  CHECK(plan->samples_per_s == doctest::Approx(2.5246283459057333).epsilon(1e-8));
  CHECK(layers(*plan) == "28 1-1-8f-c");
  CHECK(name(plan->rest) == "1-1-8f");
}

#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
TEST_CASE("galvatron: the reference case takes less than a second of one core") {
  double best_s = std::numeric_limits<double>::infinity();
  for (int i = 0; i < 3; ++i) {
    const std::clock_t start = std::clock();
    REQUIRE(search(sample_profile(), reference_problem()).has_value());
    const auto ticks = static_cast<double>(std::clock() - start);
    best_s = std::min(best_s, ticks / CLOCKS_PER_SEC);
  }
  CHECK(best_s < 1.0);
}
#endif

TEST_CASE("galvatron: other schedules, precisions and ways to reduce gradients") {
  struct Case {
    double samples_per_s;
    std::string layers;
    Problem problem;
  };
  const Problem wide{.layers = 15,
                     .hidden = 65536,
                     .sequence = 4096,
                     .devices = 8,
                     .memory_mb = 24 * 1024,
                     .batch = 64,
                     .chunks = 64};
  std::vector<Case> cases{
      {3.33536391594, "1 2-4-1-sp, 6 2-4-1 | 1 2-4-1-sp, 7 2-4-1", wide},
      {3.315482545310828, "1 1-8-1-sp, 14 1-8-1", wide},
      {9.52871985760539, "4 1-2*-4f-c, 11 1-2*-4f", wide},
      {9.598854430244105, "3 1-4*-2f-c, 5 1-4*-2f, 7 1-4*-2", wide},
      {8.836470449571081, "5 1-2*-4f-c, 10 1-2*-4f", wide},
  };
  cases[1].problem.schedule = proto::ScheduleKind::kGpipe;  // too many micro-batches in flight
  for (std::size_t i = 2; i < cases.size(); ++i) {
    cases[i].problem.hidden = 4096;
    cases[i].problem.chunks = 16;
  }
  cases[2].problem.with_data = Sharding::kNothing;
  cases[3].problem.reduces_asynchronously = true;
  cases[4].problem.precision = proto::Precision::kFp32;
  for (const Case& expected : cases) {
    CAPTURE(expected.layers);
    const auto plan = search(sample_profile(), expected.problem);
    REQUIRE(plan.has_value());
    CHECK(plan->samples_per_s == doctest::Approx(expected.samples_per_s).epsilon(1e-9));
    CHECK(layers(*plan) == expected.layers);
  }
}

TEST_CASE("galvatron: a plan fits into memory, and more memory is never slower") {
  double before = 0.0;
  for (const std::uint64_t gb : {26, 30, 36, 48, 64, 80}) {
    Problem problem = reference_problem();
    problem.memory_mb = gb * 1024;
    CAPTURE(gb);
    const auto plan = search(sample_profile(), problem);
    REQUIRE(plan.has_value());
    for (const StagePlan& stage : plan->stages) CHECK(stage.memory_mb <= plan->usable_mb);
    CHECK(plan->samples_per_s >= before * (1 - 1e-6));
    before = plan->samples_per_s;
  }
}

TEST_CASE("galvatron: too little memory is told with what the smallest plan needs") {
  Problem problem = reference_problem();
  problem.memory_mb = 6 * 1024;
  for (const bool coarse : {false, true}) {
    problem.one_for_all = coarse;
    const auto plan = search(sample_profile(), problem);
    REQUIRE(!plan.has_value());
    CHECK(plan.error().kind == proto::ErrorKind::kResource);
    const std::string& message = plan.error().message;
    CHECK(
        message.starts_with("no plan fits into the 6144 MB that it may use of a device's 6144 MB: "
                            "the smallest needs "));
    // What the message says would do does, and a GB less does not.
    const std::size_t at = message.find("devices of ");
    REQUIRE(at != std::string::npos);
    problem.memory_mb = std::stoul(message.substr(at + 11)) * 1024;
    CHECK(search(sample_profile(), problem).has_value());
    problem.memory_mb -= 1024;
    CHECK(!search(sample_profile(), problem).has_value());
    problem.memory_mb = 6 * 1024;
  }
}

TEST_CASE("galvatron: a problem that makes no sense is refused") {
  const auto refused = [](auto change) {
    Problem problem = reference_problem();
    change(problem);
    const auto plan = search(sample_profile(), problem);
    REQUIRE(!plan.has_value());
    CHECK(plan.error().kind == proto::ErrorKind::kConfiguration);
    return plan.error().message;
  };
  CHECK(refused([](Problem& problem) { problem.devices = 6; }) ==
        "the number of devices is 6; Galvatron's search knows powers of two only: take 4 or 8");
  CHECK(refused([](Problem& problem) { problem.chunks = 24; }) ==
        "24 chunks do not divide a batch of 64 samples; take a divisor of it");
  CHECK(refused([](Problem& problem) { problem.chunks = 128; }) ==
        "the number of chunks is 128; it must be 1 to 64");
  CHECK(refused([](Problem& problem) { problem.layers = 0; }) ==
        "the number of layers is 0; it must be 1 to 1000");
  CHECK(refused([](Problem& problem) { problem.memory_mb = 0; }) ==
        "a device's memory in MB is 0; it must be 1 to 1048576");
  CHECK(refused([](Problem& problem) { problem.devices = 16; }) ==
        "the profile: the layer's activation of degree 16 is missing; 16 devices need 1 to 16");
}

TEST_CASE("galvatron: a profile that lacks something is refused") {
  const auto refused = [](auto change) {
    Profile profile = sample_profile();
    change(profile);
    const auto plan = search(profile, reference_problem());
    REQUIRE(!plan.has_value());
    CHECK(plan.error().kind == proto::ErrorKind::kConfiguration);
    return plan.error().message;
  };
  CHECK(refused([](Profile& profile) { profile.layer_times.resize(2); }) ==
        "the profile: the layer's time is measured at 2 sequence lengths; the fit needs at least "
        "3");
  CHECK(refused([](Profile& profile) { profile.rest_memory.erase(8192); }) ==
        "the profile: the memory of embedding and head is missing at sequence 8192, the longest of "
        "the layer's");
  CHECK(refused([](Profile& profile) { profile.point_to_point_gb_per_s[4] = -1.0; }) ==
        "the profile: point-to-point bandwidth of degree 4 is -1; it must be a positive number");
  CHECK(refused([](Profile& profile) { profile.all_to_all_ms.erase(2); }) ==
        "the profile: all-to-all time of 2 devices is measured at 0 sizes; at least 2 are needed");
  CHECK(refused([](Profile& profile) {
          auto& times = profile.layer_times;
          times = {{12288, 1.0}, {16384, 100.0}, {20480, 199.0}};
        }) ==
        "the fit over the profile's times gives a layer -98 ms at sequence 8192; profile sequences "
        "around it");
}

TEST_CASE("pipeline: one stage takes its time for every chunk, and the reduction once") {
  const std::array stages{StageTimes{.compute_s = 2.0, .with_reduction_s = 2.5}};
  CHECK(pipeline_s(stages, 4) == doctest::Approx(8.5));
}

TEST_CASE("pipeline: the larger of what the first and what the last stage allow") {
  const std::array even{StageTimes{3.0, 0.0}, StageTimes{3.0, 0.0}};
  CHECK(pipeline_s(even, 8) == doctest::Approx(27.0));  // (m + p - 1) C
  const std::array slow_end{StageTimes{1.0, 0.0}, StageTimes{4.0, 0.0}};
  CHECK(pipeline_s(slow_end, 8) == doctest::Approx(5.0 + 4.0 * 7));
  const std::array slow_start{StageTimes{4.0, 0.0}, StageTimes{1.0, 0.0}};
  CHECK(pipeline_s(slow_start, 8) == doctest::Approx(4.0 + 4.0 * 7));
  const std::array late{StageTimes{1.0, 1.5}, StageTimes{1.0, 5.0}};
  CHECK(pipeline_s(late, 2) == doctest::Approx(3.0 + 3.0));
}

}  // namespace
}  // namespace longhaul::scheduler::galvatron
