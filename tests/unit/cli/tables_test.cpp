// Tables of nodes and jobs, as people and as programs see them.
#include "daemon/cli/tables.hpp"

#include "tests/unit/cli/job_events.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

using namespace longhaul;
using namespace longhaul::daemon;
using longhaul::tests::job_status;
using longhaul::tests::stage_report;
using Json = nlohmann::json;

namespace {

constexpr TableOptions kText{.format = TableFormat::kText, .now_unix_ms = 10'000'000};
constexpr TableOptions kJson{.format = TableFormat::kJson, .now_unix_ms = 0};

wire::NodeStatus node(const std::string& name, wire::NodeState state) {
  wire::NodeStatus status;
  status.mutable_info()->set_name(name);
  status.mutable_info()->set_site("home");
  status.mutable_info()->set_host("10.0.0.7");
  status.mutable_info()->set_version("0.1.0");
  wire::Device& device = *status.mutable_info()->add_devices();
  device.set_name("cpu");
  device.set_description("8 cores");
  device.set_memory_bytes(24'000'000'000);
  device.set_threads(8);
  status.set_state(state);
  status.set_since_unix_ms(9'700'000);
  return status;
}

wire::JobStatus training_job() {
  wire::JobStatus job = job_status(wire::TRAINING, 300);
  job.set_step(120);
  job.set_loss(5.43214);
  job.set_learning_rate(6e-4);
  job.set_tokens_per_s(15'300.4);
  job.set_submitted_unix_ms(9'993'000);
  for (const std::uint32_t stage : {0u, 1u}) *job.add_stages() = stage_report(stage);
  job.add_log("continues after step 50");
  return job;
}

}  // namespace

TEST_CASE("tables: nodes") {
  wire::NodeList nodes;
  *nodes.add_nodes() = node("a", wire::READY);
  *nodes.add_nodes() = node("node-with-a-name", wire::BUSY);
  nodes.mutable_nodes(1)->set_job_id("j1");
  CHECK(render_nodes(nodes, kText) ==
        "NODE              SITE  STATE  SINCE      DEVICES   MEMORY  JOB\n"
        "a                 home  ready  5 min ago  cpu      24.0 GB  -\n"
        "node-with-a-name  home  busy   5 min ago  cpu      24.0 GB  j1\n");
  const Json json = Json::parse(render_nodes(nodes, kJson));
  REQUIRE(json["nodes"].size() == 2);
  CHECK(json["nodes"][0] == Json::parse(R"({"name":"a","site":"home","state":"ready","reason":null,
      "job":null,"since_unix_ms":9700000,"host":"10.0.0.7","version":"0.1.0","devices":
      [{"name":"cpu","description":"8 cores","memory_bytes":24000000000,"threads":8,
       "cpu_share":1.0}]})"));
  CHECK(render_nodes({}, kText) == "no node has joined yet\n");
  CHECK(render_nodes({}, kJson) == "{\"nodes\":[]}\n");
}

TEST_CASE("tables: one node") {
  wire::NodeStatus gone = node("a", wire::GONE);
  gone.set_reason("no heartbeat for 9 s");
  CHECK(render_node(gone, kText) == R"(node     a
site     home
state    gone, 5 min ago
reason   no heartbeat for 9 s
host     10.0.0.7
version  0.1.0

DEVICE   MEMORY  THREADS  DESCRIPTION
cpu     24.0 GB        8  8 cores
)");
  CHECK(Json::parse(render_node(gone, kJson))["reason"] == "no heartbeat for 9 s");
}

TEST_CASE("tables: jobs") {
  wire::JobList jobs;
  *jobs.add_jobs() = training_job();
  *jobs.add_jobs() = job_status(wire::PREPARING, 10);
  CHECK(render_jobs(jobs, kText) ==
        "JOB  NAME  STATE         STEP    LOSS  TOKENS/S  STAGES  SUBMITTED\n"
        "j1   sotu  training   120/300  5.4321     15300       2  7 s ago\n"
        "j1   sotu  preparing     0/10       -         -       2  -\n");
  const Json json = Json::parse(render_jobs(jobs, kJson));
  CHECK(json["jobs"][0]["loss"] == 5.43214);
  CHECK(json["jobs"][1]["loss"].is_null());
  CHECK(render_jobs({}, kText) == "no job has been submitted yet\n");
  CHECK(render_jobs({}, kJson) == "{\"jobs\":[]}\n");
}

TEST_CASE("tables: one job") {
  wire::JobStatus job = training_job();
  job.set_has_evaluation(true);
  job.set_evaluation_loss(4.25);
  CHECK(render_job(job, kText) == R"(job            j1
name           sotu
state          training
submitted      7 s ago
step           120/300
loss           5.4321
held-out loss  4.2500
learning rate  6.00e-04
tokens/s       15300
schedule       1f1b

STAGE  NODE  DEVICE  OPERATORS  PARAMETERS  PEAK MEMORY  S/MICRO-BATCH
    0  a     cpu             2      1.00 M      64.0 MB         0.1250
    1  b     cpu             1      1.00 M      64.0 MB         0.1250

FROM  TO  DIRECTION     SENT    DENSE
   0   1  forward    1.50 MB  1.49 MB
   1   0  backward   1.50 MB  1.49 MB

continues after step 50
)");
  const Json json = Json::parse(render_job(job, kJson));
  CHECK(json["eval_loss"] == 4.25);
  CHECK(json["stages"].size() == 2);
  CHECK(json["log"] == Json{"continues after step 50"});
}

TEST_CASE("tables: a job's prediction stands beside what was measured") {
  wire::JobStatus job = training_job();
  job.mutable_plan()->set_planner("auto");
  job.mutable_plan()->set_predicted_step_s(0.55);
  job.set_measured_step_s(0.5);
  const std::string text = render_job(job, kText);
  CHECK(text.find("planner        auto\n") != std::string::npos);
  CHECK(text.find("PREDICTION         PREDICTED  MEASURED    ERROR\n"
                  "time of a step        0.55 s     0.5 s  +10.0 %\n"
                  "memory of stage 0    60.0 MB   64.0 MB   -6.2 %\n"
                  "memory of stage 1    60.0 MB   64.0 MB   -6.3 %\n") != std::string::npos);
  const Json json = Json::parse(render_job(job, kJson));
  CHECK(json["measured_step_s"] == 0.5);
  CHECK(json["step_error"].get<double>() == doctest::Approx(0.1));
  CHECK(json["stages"][0]["memory_error"].get<double>() == doctest::Approx(-0.0625));
  job.set_measured_step_s(0.0);
  CHECK(Json::parse(render_job(job, kJson))["step_error"].is_null());
}

TEST_CASE("tables: text from elsewhere cannot steer the terminal, and width counts characters") {
  wire::NodeList nodes;
  *nodes.add_nodes() = node("a\x1b[2J", wire::READY);
  *nodes.add_nodes() = node("\xC3\xA9t\xC3\xA9", wire::READY);
  const std::string text = render_nodes(nodes, kText);
  CHECK(text.find('\x1b') == std::string::npos);
  CHECK(text.find("\n\xC3\xA9t\xC3\xA9    home  ready") != std::string::npos);
  CHECK(text.find("\na?[2J  home  ready") != std::string::npos);
}
