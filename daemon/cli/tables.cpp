// Tables of nodes and jobs.
#include "daemon/cli/tables.hpp"

#include "daemon/cli/format.hpp"
#include "daemon/cli/job_json.hpp"
#include "daemon/cli/text_table.hpp"
#include "daemon/configuration/printable.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace longhaul::daemon {
namespace {

using Pairs = std::vector<std::pair<std::string_view, std::string>>;

// "key      value", one a line; pairs without a value are left out.
std::string list_pairs(const Pairs& pairs) {
  std::size_t width = 0;
  for (const auto& [key, value] : pairs) {
    if (!value.empty()) width = std::max(width, key.size());
  }
  std::string out;
  for (const auto& [key, value] : pairs) {
    if (!value.empty()) out += fmt::format("{:<{}}  {}\n", key, width, printable(value, 500));
  }
  return out;
}

Json node_json(const wire::NodeStatus& node) {
  Json devices = Json::array();
  for (const wire::Device& device : node.info().devices()) {
    devices.push_back({{"name", device.name()},
                       {"description", device.description()},
                       {"memory_bytes", device.memory_bytes()},
                       {"threads", device.threads()},
                       {"cpu_share", device.cpu_share() > 0.0 ? device.cpu_share() : 1.0}});
  }
  return {{"name", node.info().name()},
          {"site", node.info().site()},
          {"state", node_state_name(node.state())},
          {"reason", text_or_null(node.reason())},
          {"job", text_or_null(node.job_id())},
          {"since_unix_ms", node.since_unix_ms()},
          {"host", node.info().host()},
          {"version", node.info().version()},
          {"devices", std::move(devices)}};
}

// What was predicted over what was measured, less one; empty where either is not known.
std::optional<double> relative_error(double predicted, double measured) {
  if (predicted <= 0.0 || measured <= 0.0) return std::nullopt;
  return predicted / measured - 1.0;
}

Json error_json(double predicted, double measured) {
  const auto error = relative_error(predicted, measured);
  return error ? Json(*error) : Json(nullptr);
}

Json job_json(const wire::JobStatus& job) {
  Json stages = stages_json(job);
  for (Json& stage : stages) {
    stage["memory_error"] = error_json(stage["estimated_memory_bytes"].get<double>(),
                                       stage["peak_memory_bytes"].get<double>());
  }
  return {{"id", job.id()},
          {"name", job.name()},
          {"state", job_state_name(job.state())},
          {"failure", failure_json(job)},
          {"step", job.step()},
          {"steps", job.steps()},
          {"loss", job.step() > 0 ? Json(job.loss()) : Json(nullptr)},
          {"learning_rate", job.learning_rate()},
          {"tokens_per_s", job.tokens_per_s()},
          {"planner", job.plan().planner()},
          {"predicted_step_s", job.plan().predicted_step_s()},
          {"measured_step_s", job.measured_step_s()},
          {"step_error", error_json(job.plan().predicted_step_s(), job.measured_step_s())},
          {"eval_loss", job.has_evaluation() ? Json(job.evaluation_loss()) : Json(nullptr)},
          {"submitted_unix_ms", job.submitted_unix_ms()},
          {"stages", std::move(stages)},
          {"links", links_json(job)},
          {"bytes_sent", total_bytes_sent(job)},
          {"exported_to", text_or_null(job.exported_to())},
          {"log", job.log()}};
}

std::string device_names(const wire::NodeInfo& info) {
  std::vector<std::string> names;
  for (const wire::Device& device : info.devices()) names.push_back(device.name());
  return fmt::format("{}", fmt::join(names, ", "));
}

std::uint64_t device_memory(const wire::NodeInfo& info) {
  std::uint64_t bytes = 0;
  for (const wire::Device& device : info.devices()) bytes += device.memory_bytes();
  return bytes;
}

std::string step_of(const wire::JobStatus& job) {
  return fmt::format("{}/{}", job.step(), job.steps());
}

std::string loss_of(const wire::JobStatus& job) {
  return job.step() > 0 ? format_loss(job.loss()) : std::string{};
}

std::string rate_of(const wire::JobStatus& job) {
  return job.tokens_per_s() > 0.0 ? format_rate(job.tokens_per_s()) : std::string{};
}

std::string stage_table(const wire::JobStatus& job) {
  TextTable table({{"STAGE", true},
                   {"NODE"},
                   {"DEVICE"},
                   {"OPERATORS", true},
                   {"PARAMETERS", true},
                   {"PEAK MEMORY", true},
                   {"S/MICRO-BATCH", true}});
  for (const Json& stage : stages_json(job)) {
    table.add({fmt::format("{}", stage["stage"].get<int>()), stage["node"].get<std::string>(),
               stage["device"].get<std::string>(), fmt::format("{}", stage["operators"].get<int>()),
               format_count(stage["parameters"].get<std::uint64_t>()),
               format_bytes(stage["peak_memory_bytes"].get<std::uint64_t>()),
               fmt::format("{:.4f}", stage["compute_s_per_microbatch"].get<double>())});
  }
  return table.text();
}

// What the plan said beside what came of it; empty where it said nothing.
std::string prediction_table(const wire::JobStatus& job) {
  TextTable table({{"PREDICTION"}, {"PREDICTED", true}, {"MEASURED", true}, {"ERROR", true}});
  const auto add = [&](std::string what, double predicted, double measured, const auto& format) {
    const auto error = relative_error(predicted, measured);
    table.add({std::move(what), format(predicted), measured > 0.0 ? format(measured) : "",
               error ? fmt::format("{:+.1f} %", 100.0 * *error) : ""});
  };
  if (job.plan().predicted_step_s() <= 0.0) return {};
  add("time of a step", job.plan().predicted_step_s(), job.measured_step_s(),
      [](double seconds) { return fmt::format("{:.3g} s", seconds); });
  for (const Json& stage : stages_json(job)) {
    add(fmt::format("memory of stage {}", stage["stage"].get<int>()),
        stage["estimated_memory_bytes"].get<double>(), stage["peak_memory_bytes"].get<double>(),
        [](double bytes) { return format_bytes(static_cast<std::uint64_t>(bytes)); });
  }
  return table.text();
}

std::string link_table(const wire::JobStatus& job) {
  TextTable table({{"FROM", true}, {"TO", true}, {"DIRECTION"}, {"SENT", true}, {"DENSE", true}});
  for (const wire::StageReport& stage : job.stages()) {
    for (const wire::LinkReport& link : stage.links()) {
      table.add({fmt::format("{}", link.from_stage()), fmt::format("{}", link.to_stage()),
                 link.direction(), format_bytes(link.bytes_sent()),
                 format_bytes(link.dense_bytes())});
    }
  }
  return table.text();
}

}  // namespace

std::string render_nodes(const wire::NodeList& nodes, const TableOptions& options) {
  if (options.format == TableFormat::kJson) {
    Json list = Json::array();
    for (const wire::NodeStatus& node : nodes.nodes()) list.push_back(node_json(node));
    return to_line({{"nodes", std::move(list)}}) + "\n";
  }
  if (nodes.nodes().empty()) return "no node has joined yet\n";
  TextTable table(
      {{"NODE"}, {"SITE"}, {"STATE"}, {"SINCE"}, {"DEVICES"}, {"MEMORY", true}, {"JOB"}});
  for (const wire::NodeStatus& node : nodes.nodes()) {
    table.add({node.info().name(), node.info().site(), std::string(node_state_name(node.state())),
               format_age(node.since_unix_ms(), options.now_unix_ms), device_names(node.info()),
               format_bytes(device_memory(node.info())), node.job_id()});
  }
  return table.text();
}

std::string render_node(const wire::NodeStatus& node, const TableOptions& options) {
  if (options.format == TableFormat::kJson) return to_line(node_json(node)) + "\n";
  std::string out =
      list_pairs({{"node", node.info().name()},
                  {"site", node.info().site()},
                  {"state", fmt::format("{}, {}", node_state_name(node.state()),
                                        format_age(node.since_unix_ms(), options.now_unix_ms))},
                  {"reason", node.reason()},
                  {"job", node.job_id()},
                  {"host", node.info().host()},
                  {"version", node.info().version()}});
  if (node.info().devices().empty()) return out;
  TextTable table({{"DEVICE"}, {"MEMORY", true}, {"THREADS", true}, {"DESCRIPTION"}});
  for (const wire::Device& device : node.info().devices()) {
    table.add({device.name(), format_bytes(device.memory_bytes()),
               device.cpu_share() > 0.0
                   ? fmt::format("{} at {:.3g} %", device.threads(), 100.0 * device.cpu_share())
                   : fmt::format("{}", device.threads()),
               device.description()});
  }
  return fmt::format("{}\n{}", out, table.text());
}

std::string render_jobs(const wire::JobList& jobs, const TableOptions& options) {
  if (options.format == TableFormat::kJson) {
    Json list = Json::array();
    for (const wire::JobStatus& job : jobs.jobs()) list.push_back(job_json(job));
    return to_line({{"jobs", std::move(list)}}) + "\n";
  }
  if (jobs.jobs().empty()) return "no job has been submitted yet\n";
  TextTable table({{"JOB"},
                   {"NAME"},
                   {"STATE"},
                   {"STEP", true},
                   {"LOSS", true},
                   {"TOKENS/S", true},
                   {"STAGES", true},
                   {"SUBMITTED"}});
  for (const wire::JobStatus& job : jobs.jobs()) {
    table.add({job.id(), job.name(), std::string(job_state_name(job.state())), step_of(job),
               loss_of(job), rate_of(job), fmt::format("{}", job.plan().stages_size()),
               format_age(job.submitted_unix_ms(), options.now_unix_ms)});
  }
  return table.text();
}

std::string render_job(const wire::JobStatus& job, const TableOptions& options) {
  if (options.format == TableFormat::kJson) return to_line(job_json(job)) + "\n";
  std::string out = list_pairs(
      {{"job", job.id()},
       {"name", job.name()},
       {"state", std::string(job_state_name(job.state()))},
       {"failure", job.failure().message()},
       {"submitted", format_age(job.submitted_unix_ms(), options.now_unix_ms)},
       {"step", step_of(job)},
       {"loss", loss_of(job)},
       {"held-out loss", job.has_evaluation() ? format_loss(job.evaluation_loss()) : ""},
       {"learning rate", job.step() > 0 ? format_learning_rate(job.learning_rate()) : ""},
       {"tokens/s", rate_of(job)},
       {"schedule", job.plan().schedule()},
       {"planner", printable(job.plan().planner(), 100)},
       {"exported to", job.exported_to()}});
  if (job.plan().stages_size() > 0) out += fmt::format("\n{}", stage_table(job));
  if (const auto table = prediction_table(job); !table.empty()) out += fmt::format("\n{}", table);
  if (!links_json(job).empty()) out += fmt::format("\n{}", link_table(job));
  if (!job.log().empty()) out += '\n';
  for (const std::string& line : job.log()) out += fmt::format("{}\n", printable(line, 500));
  return out;
}

}  // namespace longhaul::daemon
