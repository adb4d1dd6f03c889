// A job's state as JSON.
#include "daemon/cli/job_json.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace longhaul::daemon {
namespace {

std::string_view failure_kind_name(wire::Failure::Kind kind) {
  switch (kind) {
    case wire::Failure::INTERNAL:
      return "internal";
    case wire::Failure::CONFIGURATION:
      return "configuration";
    case wire::Failure::LOST:
      return "lost";
    case wire::Failure::NUMERIC:
      return "numeric";
    case wire::Failure::CANCELLED:
      return "cancelled";
    case wire::Failure::RESOURCE:
      return "resource";
    case wire::Failure_Kind_Failure_Kind_INT_MIN_SENTINEL_DO_NOT_USE_:
    case wire::Failure_Kind_Failure_Kind_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return "unknown";
}

}  // namespace

std::string_view job_state_name(wire::JobState state) {
  switch (state) {
    case wire::PREPARING:
      return "preparing";
    case wire::TRAINING:
      return "training";
    case wire::DONE:
      return "done";
    case wire::FAILED:
      return "failed";
    case wire::CANCELLED:
      return "cancelled";
    case wire::JOB_UNSPECIFIED:
    case wire::JobState_INT_MIN_SENTINEL_DO_NOT_USE_:
    case wire::JobState_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return "unknown";
}

std::string_view node_state_name(wire::NodeState state) {
  switch (state) {
    case wire::READY:
      return "ready";
    case wire::BUSY:
      return "busy";
    case wire::GONE:
      return "gone";
    case wire::NODE_UNSPECIFIED:
    case wire::NodeState_INT_MIN_SENTINEL_DO_NOT_USE_:
    case wire::NodeState_INT_MAX_SENTINEL_DO_NOT_USE_:
      break;
  }
  return "unknown";
}

std::string to_line(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json failure_json(const wire::JobStatus& status) {
  if (!status.has_failure()) return nullptr;
  return {{"kind", failure_kind_name(status.failure().kind())},
          {"message", status.failure().message()}};
}

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json stages_json(const wire::JobStatus& status) {
  Json stages = Json::array();
  for (int i = 0; i < status.plan().stages_size(); ++i) {
    const wire::Stage& planned = status.plan().stages(i);
    const auto report = std::find_if(
        status.stages().begin(), status.stages().end(),
        [&](const auto& candidate) { return candidate.stage() == static_cast<std::uint32_t>(i); });
    const wire::StageReport reported =
        report == status.stages().end() ? wire::StageReport{} : *report;
    stages.push_back({{"stage", i},
                      {"node", planned.node()},
                      {"device", planned.device()},
                      {"operators", planned.operators_size()},
                      {"operator_ids", planned.operators()},
                      {"parameters", reported.parameters()},
                      {"estimated_memory_bytes", planned.estimated_memory_bytes()},
                      {"peak_memory_bytes", reported.peak_memory_bytes()},
                      {"compute_s_per_microbatch", reported.compute_s_per_microbatch()}});
  }
  return stages;
}

Json links_json(const wire::JobStatus& status) {
  Json links = Json::array();
  for (const wire::StageReport& stage : status.stages()) {
    for (const wire::LinkReport& link : stage.links()) {
      const Json distortion =
          link.squares() > 0.0 ? Json(link.squared_error() / link.squares()) : Json(0.0);
      links.push_back({{"from", link.from_stage()},
                       {"to", link.to_stage()},
                       {"from_node", node_of_stage(status, link.from_stage())},
                       {"to_node", node_of_stage(status, link.to_stage())},
                       {"direction", link.direction()},
                       {"bytes_sent", link.bytes_sent()},
                       {"dense_bytes", link.dense_bytes()},
                       {"rung", link.rung()},
                       {"distortion", distortion},
                       {"encode_s", link.encode_s()},
                       {"decode_s", link.decode_s()},
                       {"goodput", link.goodput()},
                       {"goodput_is_lower_bound", link.goodput_is_lower_bound()},
                       {"round_trip_s", link.round_trip_s()},
                       {"jitter_s", link.jitter_s()},
                       {"queueing_s", link.queueing_s()},
                       {"connections", link.connections()},
                       {"connection_losses", link.connection_losses()},
                       {"rung_changes", link.rung_changes()},
                       {"last_change", link.last_change()},
                       {"last_change_step", link.last_change_step()},
                       {"encode_s_per_microbatch", link.encode_s_per_microbatch()},
                       {"wire_s_per_microbatch", link.wire_s_per_microbatch()},
                       {"decode_s_per_microbatch", link.decode_s_per_microbatch()},
                       {"budget_s", link.budget_s()}});
    }
  }
  return links;
}

std::string change_line(const wire::JobStatus& status, const wire::LinkReport& link) {
  return fmt::format("step {}: {} -> {}: {}", link.last_change_step(),
                     node_of_stage(status, link.from_stage()),
                     node_of_stage(status, link.to_stage()), link.last_change());
}

std::uint64_t total_bytes_sent(const wire::JobStatus& status) {
  std::uint64_t bytes = 0;
  for (const wire::StageReport& stage : status.stages()) {
    for (const wire::LinkReport& link : stage.links()) bytes += link.bytes_sent();
  }
  return bytes;
}

std::string node_of_stage(const wire::JobStatus& status, std::uint32_t stage) {
  if (stage >= static_cast<std::uint32_t>(status.plan().stages_size())) return {};
  return status.plan().stages(static_cast<int>(stage)).node();
}

}  // namespace longhaul::daemon
