// Tables, and what they come to.
#include "daemon/planning/plan_text.hpp"

#include "daemon/cli/format.hpp"
#include "daemon/cli/text_table.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace longhaul::daemon {
namespace {

using Json = nlohmann::ordered_json;

std::string ms(double seconds) { return fmt::format("{:.3g} ms", seconds * 1e3); }
std::string percent(double share) { return fmt::format("{:.0f} %", share * 100.0); }

std::string stages_text(const PlanReport& report) {
  TextTable table({{"stage", true},
                   {"node"},
                   {"device"},
                   {"site"},
                   {"operators"},
                   {"compute", true},
                   {"busy", true},
                   {"waits", true},
                   {"memory", true},
                   {"of", true},
                   {"parameters", true},
                   {"gradients", true},
                   {"optimizer", true},
                   {"activations", true},
                   {"other", true}});
  for (std::size_t s = 0; s < report.stages.size(); ++s) {
    const StageRow& row = report.stages[s];
    const scheduler::MemoryEstimate& memory = row.memory;
    const std::uint64_t named =
        memory.parameters + memory.gradients + memory.optimizer + memory.activations;
    const std::string node = row.more_devices.empty()
                                 ? row.node
                                 : fmt::format("{} + {} more", row.node, row.more_devices.size());
    table.add({fmt::format("{}", s), node, row.device, row.site,
               fmt::format("{}: {} to {}", row.operators, row.first_operator, row.last_operator),
               ms(row.compute_s), percent(row.busy_share), percent(row.wait_share),
               format_bytes(row.memory_bytes), format_bytes(row.capacity_bytes),
               format_bytes(memory.parameters), format_bytes(memory.gradients),
               format_bytes(memory.optimizer), format_bytes(memory.activations),
               format_bytes(row.memory_bytes - std::min(row.memory_bytes, named))});
  }
  return table.text();
}

std::string links_text(const PlanReport& report) {
  TextTable table({{"link"},
                   {"direction"},
                   {"dense", true},
                   {"codec"},
                   {"bytes", true},
                   {"transfer", true},
                   {"hidden"},
                   {"late per step", true}});
  for (const LinkRow& row : report.links) {
    table.add({fmt::format("{} -> {}", report.stages[row.from].node, report.stages[row.to].node),
               row.tied       ? "tied gradients"
               : row.backward ? "backward"
                              : "forward",
               format_bytes(static_cast<std::uint64_t>(row.dense_bytes)), row.codec,
               format_bytes(static_cast<std::uint64_t>(row.bytes)), ms(row.transfer_s),
               row.hidden ? "yes" : "no", ms(row.late_s)});
  }
  return report.links.empty() ? "" : table.text();
}

// Stages of several devices: who they are, and what they do.
std::string spreads_text(const PlanReport& report) {
  std::string text;
  for (std::size_t s = 0; s < report.stages.size(); ++s) {
    const StageRow& row = report.stages[s];
    if (row.more_devices.empty()) continue;
    text += fmt::format("stage {}: {} {}, {}\n", s, row.node, row.device,
                        fmt::join(row.more_devices, ", "));
    for (const StageRow::Spread& spread : row.spreads) {
      text += fmt::format("  {} operator{}: {}\n", spread.operators,
                          spread.operators == 1 ? "" : "s", spread.strategy);
    }
  }
  if (!text.empty()) text += "workers execute one device per stage so far: planned only\n";
  return text;
}

Json stage_json(const StageRow& row) {
  const scheduler::MemoryEstimate& memory = row.memory;
  Json spreads = Json::array();
  for (const StageRow::Spread& spread : row.spreads) {
    spreads.push_back({{"operators", spread.operators}, {"strategy", spread.strategy}});
  }
  return {{"node", row.node},
          {"more_devices", row.more_devices},
          {"strategies", spreads},
          {"device", row.device},
          {"site", row.site},
          {"first_operator", row.first_operator},
          {"last_operator", row.last_operator},
          {"operators", row.operators},
          {"compute_s_per_microbatch", row.compute_s},
          {"busy", row.busy_share},
          {"waits", row.wait_share},
          {"memory_bytes", row.memory_bytes},
          {"capacity_bytes", row.capacity_bytes},
          {"memory",
           {{"parameters", memory.parameters},
            {"gradients", memory.gradients},
            {"optimizer", memory.optimizer},
            {"activations", memory.activations},
            {"workspace", memory.workspace},
            {"boundary", memory.boundary},
            {"exchange", memory.exchange}}}};
}

Json link_json(const PlanReport& report, const LinkRow& row) {
  return {{"from", report.stages[row.from].node},
          {"to", report.stages[row.to].node},
          {"from_stage", row.from},
          {"to_stage", row.to},
          {"direction", row.tied       ? "tied"
                        : row.backward ? "backward"
                                       : "forward"},
          {row.tied ? "dense_bytes_per_step" : "dense_bytes_per_microbatch", row.dense_bytes},
          {row.tied ? "bytes_per_step" : "bytes_per_microbatch", row.bytes},
          {"codec", row.codec},
          {"transfer_s", row.transfer_s},
          {"late_s_per_step", row.late_s},
          {"hidden", row.hidden}};
}

}  // namespace

std::string plan_text(const PlanReport& report) {
  std::string text = fmt::format(
      "{}, planned by {}: {}{}, {} micro-batches of {}\n"
      "a step takes {:.3g} s: {} tokens/s",
      report.model, report.planner, report.schedule,
      report.run_ahead > 0 ? fmt::format(" running {} ahead", report.run_ahead) : "",
      report.micro_batches, report.micro_batch_size, report.cost.step_s,
      format_rate(report.cost.tokens_per_s));
  if (report.cost.mfu > 0.0) text += fmt::format(", {:.1f} % of the peak", report.cost.mfu * 100);
  if (report.cost.cost_per_token > 0.0) {
    text += fmt::format(", {:.3g} per million tokens", report.cost.cost_per_token * 1e6);
  }
  text += fmt::format("\n\n{}", stages_text(report));
  if (const std::string spreads = spreads_text(report); !spreads.empty()) text += "\n" + spreads;
  if (const std::string links = links_text(report); !links.empty()) text += "\n" + links;
  text += fmt::format("\nbottleneck: {}\n", report.bottleneck);
  for (const Rival& rival : report.rivals) {
    if (rival.step_s == scheduler::kUnlimited) {
      text += fmt::format("{}: no plan: {}\n", rival.planner, rival.why);
      continue;
    }
    text += fmt::format("{}: {:.3g} s a step ({:+.1f} %): {}\n", rival.planner, rival.step_s,
                        100.0 * (rival.step_s / report.cost.step_s - 1.0), rival.why);
  }
  for (const WhatIf& what_if : report.what_ifs) {
    text += fmt::format("with {}: {:.3g} s a step ({:+.1f} %)\n", what_if.change, what_if.step_s,
                        100.0 * (what_if.step_s / report.cost.step_s - 1.0));
  }
  return text;
}

std::string plan_json(const PlanReport& report) {
  Json json{{"model", report.model},
            {"planner", report.planner},
            {"schedule", report.schedule},
            {"run_ahead", report.run_ahead},
            {"micro_batches", report.micro_batches},
            {"micro_batch_size", report.micro_batch_size},
            {"runs_today", report.runs_today},
            {"step_s", report.cost.step_s},
            {"tokens_per_s", report.cost.tokens_per_s},
            {"mfu", report.cost.mfu},
            {"cost_per_step", report.cost.cost_per_step},
            {"cost_per_token", report.cost.cost_per_token},
            {"bottleneck", report.bottleneck},
            {"stages", Json::array()},
            {"links", Json::array()},
            {"rivals", Json::array()},
            {"what_if", Json::array()}};
  for (const StageRow& row : report.stages) json["stages"].push_back(stage_json(row));
  for (const LinkRow& row : report.links) json["links"].push_back(link_json(report, row));
  for (const Rival& rival : report.rivals) {
    json["rivals"].push_back(
        {{"planner", rival.planner},
         {"step_s", rival.step_s == scheduler::kUnlimited ? Json(nullptr) : Json(rival.step_s)},
         {"why", rival.why}});
  }
  for (const WhatIf& what_if : report.what_ifs) {
    json["what_if"].push_back({{"change", what_if.change}, {"step_s", what_if.step_s}});
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace longhaul::daemon
