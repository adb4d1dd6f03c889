// The parts of a job's state that the summary, the tables and the progress show alike as JSON.
#pragma once

#include "proto/control.pb.h"

#include <nlohmann/json.hpp>

#include <string>
#include <string_view>

namespace longhaul::daemon {

using Json = nlohmann::ordered_json;

[[nodiscard]] std::string_view job_state_name(wire::JobState state);    // "training", ...
[[nodiscard]] std::string_view node_state_name(wire::NodeState state);  // "ready", ...

// One line; text that is not UTF-8 is repaired, numbers that are not finite become null.
[[nodiscard]] std::string to_line(const Json& json);

[[nodiscard]] Json failure_json(const wire::JobStatus& status);  // {kind, message} or null
[[nodiscard]] Json text_or_null(const std::string& text);
// [{stage, node, device, operators, operator_ids, parameters, estimated_memory_bytes,
// peak_memory_bytes, compute_s_per_microbatch}], in the plan's order; not reported yet: 0.
[[nodiscard]] Json stages_json(const wire::JobStatus& status);
// [{from, to, from_node, to_node, direction, bytes_sent, dense_bytes, rung, distortion, ...}], from
// and to being stages; direction: forward, backward, tied (gradients of shared parameters) or
// other; rung: of the latest boundary tensor; distortion: relative squared error of them all; the
// rest as wire::LinkReport names it.
[[nodiscard]] Json links_json(const wire::JobStatus& status);
// "step 40: tokyo -> paris: forward int8/128 -> ...: why", the link's latest change.
[[nodiscard]] std::string change_line(const wire::JobStatus& status, const wire::LinkReport& link);
[[nodiscard]] std::uint64_t total_bytes_sent(const wire::JobStatus& status);
// The node that hosts the stage; "" if the plan does not say.
[[nodiscard]] std::string node_of_stage(const wire::JobStatus& status, std::uint32_t stage);

}  // namespace longhaul::daemon
