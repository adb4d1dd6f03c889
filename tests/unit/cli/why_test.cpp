// Where a job's time goes, as text and as JSON.
#include "daemon/cli/why.hpp"

#include "tests/unit/cli/job_events.hpp"

#include <doctest/doctest.h>

#include <string>

namespace longhaul::daemon {
namespace {

wire::JobStatus after_a_step() {
  wire::JobStatus status = tests::job_status(wire::TRAINING, 50);
  status.set_step(41);
  for (const std::uint32_t stage : {0u, 1u}) *status.add_stages() = tests::stage_report(stage);
  return status;
}

TEST_CASE("why: shares of the step, links, and their latest changes") {
  const std::string text = render_why(after_a_step(), {});
  CAPTURE(text);
  const auto has = [&](const char* part) { return text.find(part) != std::string::npos; };
  CHECK(text.starts_with("j1, step 41 of 50: where the last step's time went\n"));
  CHECK(has("500.0 ms   50.0 %  25.0 %  12.5 %  6.2 %   6.2 %  backward from b"));
  CHECK(has("a     b   forward    int8/128  31.2 ms  1500.0 ms  15.6 ms  2000.0 ms  500.0 ms"));
  CHECK(has("over 8.0 Mbit/s"));
  CHECK(has("step 40: a -> b: forward fp32 -> int8/128: slow\n"));
}

TEST_CASE("why: before the first step there is nothing to say") {
  CHECK(render_why(tests::job_status(wire::PREPARING, 50), {}) ==
        "j1 has not finished a step yet\n");
}

TEST_CASE("why: JSON has every number") {
  const Json json = why_json(after_a_step());
  CHECK(json["step_time_s"] == 0.5);
  CHECK(json["stages"][0]["waits"][0] ==
        Json({{"from", 1}, {"direction", "backward"}, {"wait_s", 0.125}}));
  CHECK(json["links"].size() == 2);
}

}  // namespace
}  // namespace longhaul::daemon
