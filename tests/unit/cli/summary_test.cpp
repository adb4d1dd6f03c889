// The summary: the keys that were promised, from events alone.
#include "daemon/cli/summary.hpp"

#include "tests/unit/cli/job_events.hpp"
#include "tests/unit/configuration/temporary_folder.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <filesystem>

using namespace longhaul;
using namespace longhaul::daemon;
using longhaul::tests::Events;
using longhaul::tests::job_status;
using longhaul::tests::read_file;
using longhaul::tests::stage_report;
using longhaul::tests::TemporaryFolder;
using Json = nlohmann::ordered_json;

namespace {

Json to_json(const Summary& summary) { return Json::parse(summary.to_json()); }

}  // namespace

TEST_CASE("summary: a whole run") {
  Summary summary;
  Events events;
  summary.on_event(events.state(job_status(wire::PREPARING, 2)));
  summary.on_event(events.state(job_status(wire::TRAINING, 2)));
  summary.on_event(events.step(1));
  summary.on_event(events.step(2));
  summary.on_event(events.checkpoint(2, "/out", ""));
  summary.on_event(events.evaluation(2, 4.25));
  summary.on_event(events.exported("/model", ""));
  wire::JobStatus done = job_status(wire::DONE, 2);
  for (const std::uint32_t stage : {0u, 1u}) *done.add_stages() = stage_report(stage);
  summary.on_event(events.state(done));
  CHECK(to_json(summary) == Json::parse(R"({
    "job": "sotu", "id": "j1", "state": "done", "failure": null, "first_step": 1, "steps": 2,
    "losses": [10.0, 5.0], "eval_loss": 4.25, "eval_loss_dense": null,
    "evaluations": [{"step": 2, "loss": 4.25, "tokens": 4096}],
    "tokens": 16384, "tokens_per_s": 16384.0, "step_time_s": {"median": 0.5, "p95": 0.5},
    "step_times_s": [0.5, 0.5],
    "stages": [
      {"stage": 0, "node": "a", "device": "cpu", "operators": 2, "operator_ids": ["wte", "h.0"],
       "parameters": 1000000, "estimated_memory_bytes": 60000000,
       "peak_memory_bytes": 64000000, "compute_s_per_microbatch": 0.125},
      {"stage": 1, "node": "b", "device": "cpu", "operators": 1, "operator_ids": ["loss"],
       "parameters": 1000001, "estimated_memory_bytes": 60000000,
       "peak_memory_bytes": 64000001, "compute_s_per_microbatch": 0.125}],
    "links": [
      {"from": 0, "to": 1, "from_node": "a", "to_node": "b", "direction": "forward",
       "bytes_sent": 1500000, "dense_bytes": 1490000, "rung": "int8/128", "distortion": 0.25,
       "encode_s": 0.5, "decode_s": 0.25, "goodput": 1e6, "goodput_is_lower_bound": false,
       "round_trip_s": 0.125, "jitter_s": 0.0625, "queueing_s": 0.5, "connections": 2,
       "connection_losses": 1, "rung_changes": 3,
       "last_change": "forward fp32 -> int8/128: slow", "last_change_step": 40,
       "encode_s_per_microbatch": 0.03125, "wire_s_per_microbatch": 1.5,
       "decode_s_per_microbatch": 0.015625, "budget_s": 2.0},
      {"from": 1, "to": 0, "from_node": "b", "to_node": "a", "direction": "backward",
       "bytes_sent": 1500000, "dense_bytes": 1490000, "rung": "int8/128", "distortion": 0.25,
       "encode_s": 0.5, "decode_s": 0.25, "goodput": 1e6, "goodput_is_lower_bound": true,
       "round_trip_s": 0.125, "jitter_s": 0.0625, "queueing_s": 0.5, "connections": 2,
       "connection_losses": 1, "rung_changes": 3,
       "last_change": "forward fp32 -> int8/128: slow", "last_change_step": 40,
       "encode_s_per_microbatch": 0.03125, "wire_s_per_microbatch": 1.5,
       "decode_s_per_microbatch": 0.015625, "budget_s": 2.0}],
    "bytes_sent": 3000000,
    "checkpoints": [{"step": 2, "path": "/out", "error": null}], "exported_to": "/model"})"));
}

TEST_CASE("summary: a run that did nothing has nulls, not invented numbers") {
  Summary summary;
  Events events;
  wire::JobStatus failed = job_status(wire::FAILED, 2);
  failed.mutable_failure()->set_kind(wire::Failure::RESOURCE);
  failed.mutable_failure()->set_message("no memory");
  summary.on_event(events.state(failed));
  const Json json = to_json(summary);
  CHECK(json["failure"] == Json{{"kind", "resource"}, {"message", "no memory"}});
  CHECK(json["first_step"].is_null());
  CHECK(json["losses"].empty());
  CHECK(json["losses"].is_array());
  CHECK(json["eval_loss"].is_null());
  CHECK(json["tokens_per_s"].is_null());
  CHECK(json["step_time_s"]["median"].is_null());
  CHECK(json["exported_to"].is_null());
}

TEST_CASE("summary: losses survive the way through JSON bit by bit") {
  Summary summary;
  Events events;
  wire::JobEvent step = events.step(3);
  const double loss = step.step().loss();
  summary.on_event(step);
  wire::JobEvent broken = events.step(4);
  broken.mutable_step()->set_loss(NAN);
  summary.on_event(broken);
  const Json json = to_json(summary);
  CHECK(json["losses"][0].get<double>() == loss);
  CHECK(json["losses"][1].is_null());
  CHECK(json["first_step"] == 3);
  CHECK(json["steps"] == 2);
}

TEST_CASE("summary: the median and the 95th percentile are the nearest rank") {
  Summary summary;
  Events events;
  for (std::uint64_t i = 1; i <= 20; ++i) {
    wire::JobEvent step = events.step(i);
    step.mutable_step()->set_step_time_s(static_cast<double>(21 - i));
    summary.on_event(step);
  }
  const Json times = to_json(summary)["step_time_s"];
  CHECK(times["median"] == 10.0);
  CHECK(times["p95"] == 19.0);
}

TEST_CASE("summary: stages are known from the steps if the job never ended") {
  Summary summary;
  Events events;
  summary.on_event(events.state(job_status(wire::TRAINING, 2)));
  summary.on_event(events.step(1));
  CHECK(to_json(summary)["stages"][1]["parameters"] == 1'000'001);
  CHECK(to_json(summary)["links"].size() == 2);
}

TEST_CASE("summary: repeated events count once") {
  Summary summary;
  Events events;
  const wire::JobEvent first = events.step(1);
  const wire::JobEvent second = events.step(2);
  for (const auto* event : {&first, &second, &first, &second}) summary.on_event(*event);
  CHECK(to_json(summary)["steps"] == 2);
}

TEST_CASE("summary: the file is replaced whole, or left alone with the reason") {
  const TemporaryFolder folder;
  Summary summary;
  const auto file = folder.write("summary.json", "old");
  REQUIRE(summary.write(file).has_value());
  CHECK(read_file(file) == summary.to_json());
  CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);

  const auto missing = summary.write(folder.path() / "none/summary.json");
  REQUIRE(missing.has_error());
  CHECK(missing.error().kind == proto::ErrorKind::kResource);
  CHECK(folder.shorten(missing.error().message) ==
        "the summary cannot be written to $/none/summary.json: No such file or directory");
  CHECK(summary.write("/dev/null").has_value());
  CHECK_FALSE(std::filesystem::exists("/dev/null.part"));
}
