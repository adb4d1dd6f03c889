// What crosses a cut, and the checks of a workload.
#include "scheduler/workload.hpp"

#include "proto/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <initializer_list>
#include <set>
#include <utility>

namespace longhaul::scheduler {
namespace {

bool usable(double number) { return std::isfinite(number) && number >= 0.0; }

proto::Error wrong(const std::string& what, const std::string& problem) {
  return proto::configuration_error(fmt::format("{}: {}", what, problem));
}

proto::Result<void> check_operator(const Workload& workload, std::size_t index) {
  const WorkloadOperator& op = workload.operators[index];
  const std::string what = "operator " + proto::quoted(op.id);
  for (const std::size_t input : op.inputs) {
    if (input >= index) return wrong(what, "an input that does not come before it");
  }
  const std::initializer_list<std::pair<const char*, double>> numbers{
      {"flops", op.flops},
      {"state bytes", op.state_bytes},
      {"parameter bytes", op.parameter_bytes},
      {"saved bytes", op.saved_bytes},
      {"workspace bytes", op.workspace_bytes},
      {"output bytes", op.output_bytes},
      {"update time", op.update_s}};
  for (const auto& [name, number] : numbers) {
    if (!usable(number)) {
      return wrong(what, fmt::format("{} of {}; a number from 0 is needed", name, number));
    }
  }
  return {};
}

proto::Result<void> check_kind(const Workload& workload, std::size_t kind) {
  const std::string what = "device kind " + proto::quoted(workload.kinds[kind]);
  const std::vector<StageTime>& times = workload.times[kind];
  for (std::size_t i = 0; i < std::min(times.size(), workload.operators.size()); ++i) {
    if (!usable(times[i].forward_s) || !usable(times[i].input_gradient_s) ||
        !usable(times[i].weight_gradient_s)) {
      return wrong(what, fmt::format("the time of operator {} is negative or not finite",
                                     proto::quoted(workload.operators[i].id)));
    }
  }
  if (times.size() != workload.operators.size()) {
    const std::string first = times.size() < workload.operators.size()
                                  ? fmt::format("; operator {} has none",
                                                proto::quoted(workload.operators[times.size()].id))
                                  : "";
    return wrong(what, fmt::format("times for {} of {} operators{}", times.size(),
                                   workload.operators.size(), first));
  }
  if (!usable(workload.update_scale[kind])) return wrong(what, "a bad factor on update times");
  if (!usable(workload.overlap_slowdown[kind]) || workload.overlap_slowdown[kind] < 1.0) {
    return wrong(what, "an overlap slowdown under 1");
  }
  return {};
}

}  // namespace

std::optional<std::size_t> Workload::kind_of(const std::string& kind) const {
  const auto found = std::ranges::find(kinds, kind);
  if (found == kinds.end()) return std::nullopt;
  return static_cast<std::size_t>(found - kinds.begin());
}

std::vector<double> Workload::cut_bytes() const {
  std::vector<std::size_t> last_reader(operators.size());
  for (std::size_t i = 0; i < operators.size(); ++i) {
    for (const std::size_t input : operators[i].inputs) last_reader[input] = i;
  }
  std::vector<double> cuts(operators.size());
  for (std::size_t i = 0; i < operators.size(); ++i) {
    for (std::size_t cut = i + 1; cut <= last_reader[i]; ++cut) {
      cuts[cut] += operators[i].output_bytes;
    }
  }
  return cuts;
}

proto::Result<void> check_workload(const Workload& workload) {
  const std::string what = "workload " + proto::quoted(workload.name);
  if (workload.operators.empty()) return wrong(what, "it has no operators");
  if (workload.micro_batch_size == 0) return wrong(what, "micro-batches of no samples");
  if (!usable(workload.tokens_per_micro_batch)) return wrong(what, "a bad number of tokens");
  std::set<std::string> ids;
  for (std::size_t i = 0; i < workload.operators.size(); ++i) {
    if (!ids.insert(workload.operators[i].id).second) {
      return wrong(what, "two operators are called " + proto::quoted(workload.operators[i].id));
    }
    if (auto good = check_operator(workload, i); !good) return good;
  }
  for (const WorkloadTie& tie : workload.ties) {
    if (!usable(tie.bytes) || !usable(tie.shared_state_bytes)) {
      return wrong(what, "a tied parameter of a size that is negative or not finite");
    }
    const std::set<std::size_t> users(tie.operators.begin(), tie.operators.end());
    if (users.size() != tie.operators.size() || users.size() < 2 ||
        *users.rbegin() >= workload.operators.size()) {
      return wrong(what, "a tied parameter needs two or more different operators");
    }
  }
  const std::size_t kinds = workload.kinds.size();
  if (kinds == 0) return wrong(what, "times for no kind of device");
  if (workload.times.size() != kinds || workload.update_scale.size() != kinds ||
      workload.overlap_slowdown.size() != kinds) {
    return wrong(what, "as many lists of times, update factors and slowdowns as kinds are needed");
  }
  if (!workload.reduction_s.empty() && workload.reduction_s.size() != kinds) {
    return wrong(what, "reductions for some kinds of device only");
  }
  for (const std::vector<double>& reductions : workload.reduction_s) {
    if (reductions.size() != workload.operators.size() ||
        !std::ranges::all_of(reductions, usable)) {
      return wrong(what, "a reduction's time is missing, negative or not finite");
    }
  }
  for (std::size_t kind = 0; kind < kinds; ++kind) {
    if (auto good = check_kind(workload, kind); !good) return good;
  }
  return {};
}

}  // namespace longhaul::scheduler
