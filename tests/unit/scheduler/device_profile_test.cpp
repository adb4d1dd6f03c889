// Times at shapes that were measured, and at those that were not.
#include "scheduler/device_profile.hpp"

#include <doctest/doctest.h>

using namespace longhaul;
using namespace longhaul::scheduler;

namespace {

// Points of t = 2 + 0.5 B T + 0.001 B T T, forward only.
DeviceProfile quadratic() {
  DeviceProfile profile;
  profile.kind = "k";
  for (const double batch : {1.0, 2.0}) {
    for (const double sequence : {64.0, 128.0}) {
      const double tokens = batch * sequence;
      profile.operators["attention"].push_back(
          {.batch = batch,
           .sequence = sequence,
           .time = {.forward_s = 2.0 + 0.5 * tokens + 0.001 * tokens * sequence,
                    .input_gradient_s = 3.0 * tokens,
                    .weight_gradient_s = 0.0}});
    }
  }
  return profile;
}

}  // namespace

TEST_CASE("device_profile: other shapes follow the terms that the points have") {
  const auto time = time_of(quadratic(), "attention", {.batch = 4, .sequence = 256});
  REQUIRE(time.has_value());
  CHECK(time->forward_s == doctest::Approx(2.0 + 0.5 * 1024 + 0.001 * 1024 * 256));
  CHECK(time->input_gradient_s == doctest::Approx(3.0 * 1024));
  CHECK(time->weight_gradient_s == 0.0);
}

TEST_CASE("device_profile: a shape that was measured is what was measured") {
  DeviceProfile profile = quadratic();
  profile.operators["attention"][3].time.forward_s = 1.0;  // not on the curve
  CHECK(time_of(profile, "attention", {.batch = 2, .sequence = 128})->forward_s == 1.0);
}

TEST_CASE("device_profile: one point scales with its tokens, and never goes under zero") {
  DeviceProfile profile;
  profile.operators["add"] = {{.batch = 1, .sequence = 100, .time = {.forward_s = 5.0}}};
  CHECK(time_of(profile, "add", {.batch = 2, .sequence = 100})->forward_s >= 5.0);
  profile.operators["add"].push_back(
      {.batch = 2, .sequence = 100, .time = {.forward_s = 1.0}});  // less for more
  CHECK(time_of(profile, "add", {.batch = 9, .sequence = 100})->forward_s > 0.0);
}

TEST_CASE("device_profile: a missing operator is named, and what is like it") {
  const auto time = time_of(quadratic(), "attentio", {.batch = 1, .sequence = 1});
  REQUIRE(time.has_error());
  CHECK(time.error().message.find("'attentio'") != std::string::npos);
  CHECK(time.error().message.find("attention") != std::string::npos);
}
