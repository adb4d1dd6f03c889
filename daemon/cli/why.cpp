// Shares of a step as tables.
#include "daemon/cli/why.hpp"

#include "daemon/cli/format.hpp"
#include "daemon/cli/text_table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace longhaul::daemon {
namespace {

std::string milliseconds(double seconds) {
  return seconds > 0.0 ? fmt::format("{:.1f} ms", seconds * 1e3) : std::string();
}

std::string share(double part_s, double step_s) {
  return step_s > 0.0 ? fmt::format("{:.1f} %", 100.0 * part_s / step_s) : std::string();
}

double waited_s(const wire::StepTimes& times) {
  double sum = 0.0;
  for (const auto& wait : times.waits()) sum += wait.wait_s();
  return sum;
}

std::string longest_wait(const wire::JobStatus& job, const wire::StepTimes& times) {
  const auto longest = std::ranges::max_element(
      times.waits(), {}, [](const wire::StepTimes::Wait& wait) { return wait.wait_s(); });
  if (longest == times.waits().end() || longest->wait_s() <= 0.0) return {};
  return fmt::format("{} from {}", longest->direction(), node_of_stage(job, longest->from_stage()));
}

std::string stages_text(const wire::JobStatus& job) {
  TextTable table({{"STAGE", true},
                   {"NODE"},
                   {"STEP", true},
                   {"COMPUTE", true},
                   {"WAIT", true},
                   {"DECODE", true},
                   {"AGREE", true},
                   {"UPDATE", true},
                   {"WAITED LONGEST FOR"}});
  for (const wire::StageReport& stage : job.stages()) {
    const wire::StepTimes& times = stage.times();
    const double step_s = times.step_s();
    table.add({fmt::format("{}", stage.stage()), node_of_stage(job, stage.stage()),
               milliseconds(step_s), share(times.forward_s() + times.backward_s(), step_s),
               share(waited_s(times), step_s), share(times.decode_s(), step_s),
               share(times.agreement_s(), step_s), share(times.update_s(), step_s),
               longest_wait(job, times)});
  }
  return table.text();
}

std::string links_text(const wire::JobStatus& job) {
  TextTable table({{"FROM"},
                   {"TO"},
                   {"DIRECTION"},
                   {"RUNG"},
                   {"ENCODE", true},
                   {"WIRE", true},
                   {"DECODE", true},
                   {"BUDGET", true},
                   {"QUEUED", true},
                   {"GOODPUT", true},
                   {"ROUND TRIP", true},
                   {"LOST SQUARES", true},
                   {"CHANGES", true}});
  for (const Json& link : links_json(job)) {
    const auto text = [&](const char* key) { return link[key].get<std::string>(); };
    const auto number = [&](const char* key) { return link[key].get<double>(); };
    const bool boundary = text("direction") == "forward" || text("direction") == "backward";
    if (!boundary) continue;
    const double goodput = number("goodput");
    table.add({text("from_node"), text("to_node"), text("direction"), text("rung"),
               milliseconds(number("encode_s_per_microbatch")),
               milliseconds(number("wire_s_per_microbatch")),
               milliseconds(number("decode_s_per_microbatch")), milliseconds(number("budget_s")),
               milliseconds(number("queueing_s")),
               goodput > 0.0
                   ? fmt::format("{}{:.1f} Mbit/s",
                                 link["goodput_is_lower_bound"].get<bool>() ? "over " : "",
                                 goodput * 8e-6)
                   : std::string(),
               milliseconds(number("round_trip_s")), fmt::format("{:.4f}", number("distortion")),
               fmt::format("{}", link["rung_changes"].get<int>())});
  }
  return table.text();
}

std::string changes_text(const wire::JobStatus& job) {
  std::string out;
  for (const wire::StageReport& stage : job.stages()) {
    for (const wire::LinkReport& link : stage.links()) {
      if (link.last_change().empty()) continue;
      out += change_line(job, link) + "\n";
    }
  }
  return out;
}

}  // namespace

Json why_json(const wire::JobStatus& job) {
  Json stages = Json::array();
  double step_s = 0.0;
  for (const wire::StageReport& stage : job.stages()) {
    const wire::StepTimes& times = stage.times();
    step_s = std::max(step_s, times.step_s());
    Json waits = Json::array();
    for (const auto& wait : times.waits()) {
      waits.push_back({{"from", wait.from_stage()},
                       {"direction", wait.direction()},
                       {"wait_s", wait.wait_s()}});
    }
    stages.push_back({{"stage", stage.stage()},
                      {"node", node_of_stage(job, stage.stage())},
                      {"step_s", times.step_s()},
                      {"forward_s", times.forward_s()},
                      {"backward_s", times.backward_s()},
                      {"decode_s", times.decode_s()},
                      {"agreement_s", times.agreement_s()},
                      {"update_s", times.update_s()},
                      {"waits", std::move(waits)}});
  }
  return {{"job", job.id()},
          {"step", job.step()},
          {"step_time_s", step_s},
          {"stages", std::move(stages)},
          {"links", links_json(job)}};
}

std::string render_why(const wire::JobStatus& job, const TableOptions& options) {
  if (options.format == TableFormat::kJson) return to_line(why_json(job)) + "\n";
  if (job.step() == 0 || job.stages_size() == 0) {
    return fmt::format("{} has not finished a step yet\n", job.id());
  }
  std::string out = fmt::format("{}, step {} of {}: where the last step's time went\n\n", job.id(),
                                job.step(), job.steps());
  out += stages_text(job);
  if (job.stages_size() > 1) {
    out += fmt::format("\nper micro-batch, of the last step\n{}", links_text(job));
  }
  const std::string changes = changes_text(job);
  if (!changes.empty()) out += fmt::format("\nlatest changes\n{}", changes);
  return out;
}

}  // namespace longhaul::daemon
