// Traces: what a file may say, and what the paths become when.
#include "daemon/wan/trace.hpp"

#include "tests/unit/configuration/temporary_folder.hpp"

#include <doctest/doctest.h>

using namespace longhaul::daemon;
using namespace std::chrono_literals;
using longhaul::tests::TemporaryFolder;

namespace {

const std::vector<std::string> kSites{"a", "b"};

std::vector<PathSetup> two_paths() {
  const PathConditions conditions{.rate_bits_per_s = 100e6, .delay = 40ms};
  return {{.from = 0, .to = 1, .conditions = conditions, .queue = 80ms},
          {.from = 1, .to = 0, .conditions = conditions, .queue = 80ms}};
}

Trace load(std::string_view text) {
  const TemporaryFolder folder;
  const auto trace = load_trace(folder.write("t.yaml", text));
  REQUIRE_MESSAGE(trace.has_value(), to_string(trace.error()));
  return *trace;
}

TracePlayer play(std::string_view text, WanScale scale = {}) {
  return TracePlayer::open(load(text), kSites, two_paths(), scale).value();
}

}  // namespace

TEST_CASE("trace: a change touches the paths it names, and of them what it names") {
  auto player = play("changes:\n  - {at_s: 2.5, from: b, rate_mbps: 8, loss: 0.25}\n");
  CHECK(player.next() == TracePlayer::Time(2500ms));
  CHECK(player.take(2500ms - 1ns).empty());
  const auto steps = player.take(2500ms);
  REQUIRE(steps.size() == 1);
  CHECK(steps[0].path == 1);
  CHECK(steps[0].conditions ==
        PathConditions{.rate_bits_per_s = 8e6, .delay = 40ms, .jitter = 0ns, .loss = 0.25});
  CHECK_FALSE(player.next());
}

TEST_CASE("trace: changes play by time, and begin anew where the file says so") {
  auto player = play(
      "repeat_s: 10\nchanges:\n  - {at_s: 5, rate_factor: 0.1}\n"
      "  - {at_s: 0, to: \"*\", rate_factor: 1, delay_ms: 50}\n");
  std::vector<double> rates;
  for (int i = 0; i < 5; ++i) {
    CHECK(player.next() == TracePlayer::Time(i * 5s));
    const auto steps = player.take(i * 5s);
    REQUIRE(steps.size() == 2);
    CHECK(steps[0].conditions == steps[1].conditions);
    CHECK(steps[0].conditions.delay == 50ms);
    rates.push_back(steps[0].conditions.rate_bits_per_s / 1e6);
  }
  CHECK(rates == std::vector<double>{100, 10, 100, 10, 100});
}

TEST_CASE("trace: the scale is that of the network, and a factor is not scaled twice") {
  auto player = play(
      "changes:\n  - {at_s: 0, to: a, rate_mbps: 10, delay_ms: 10, jitter_ms: 2}\n"
      "  - {at_s: 1, to: a, rate_factor: 0.5}\n",
      {.bandwidth = 0.1, .delay = 3.0});
  const auto first = player.take(0s).at(0).conditions;
  CHECK(first.rate_bits_per_s == doctest::Approx(1e6));
  CHECK(first.delay == 30ms);
  CHECK(first.jitter == 6ms);
  CHECK(player.take(1s).at(0).conditions.rate_bits_per_s == doctest::Approx(50e6));
}

TEST_CASE("trace: wrong files are told with the place") {
  const TemporaryFolder folder;
  const auto errors = [&](std::string_view text) {
    const auto trace = load_trace(folder.write("t.yaml", text));
    REQUIRE_FALSE(trace.has_value());
    return folder.shorten(to_string(trace.error()));
  };
  CHECK(errors("repeat_s: 5\nchanges:\n  - {at_s: 5, loss: 1}\n") ==
        "$/t.yaml:3:12: changes[0].at_s must be before repeat_s");
  CHECK(errors("changes:\n  - {at_s: 5, rate_mbps: 1, rate_factor: 1}\n") ==
        "$/t.yaml:2:5: changes[0] must have one of rate_mbps and rate_factor, not both");
  CHECK(errors("changes:\n  - {at_s: 5, rate_mbps: 0}\n").find("changes[0].rate_mbps must be") !=
        std::string::npos);
  CHECK(errors("changes:\n  - {at_s: 5, los: 0}\n").find("los") != std::string::npos);
}

TEST_CASE("trace: a site that is not part of the network is named") {
  auto trace = load("changes:\n  - {at_s: 0, from: c, loss: 1}\n");
  CHECK(TracePlayer::open(trace, kSites, two_paths(), {}).error().message ==
        "the trace changes paths of c, which is none of the sites a, b");
}

TEST_CASE("trace: the examples of deploy load") {
  const std::filesystem::path folder = LONGHAUL_SOURCE_DIR "/deploy/wan";
  int count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".yaml") continue;
    const auto trace = load_trace(entry.path());
    CHECK_MESSAGE(trace.has_value(), (trace ? "" : to_string(trace.error())));
    ++count;
  }
  CHECK(count > 0);
}
