// Checks a plan against its graph and derives what crosses between stages.
#include "proto/plan.hpp"

#include "proto/assert.hpp"
#include "proto/job.hpp"
#include "proto/message_json.hpp"
#include "proto/refused.hpp"
#include "proto/text.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <unordered_map>

namespace longhaul::proto {
namespace {

constexpr std::uint32_t kMaximumThreads = 4096;
constexpr std::uint32_t kNowhere = ~0u;

bool is_device(std::string_view name) {
  if (name == "cpu") return true;
  constexpr std::string_view kCuda = "cuda:";
  if (!name.starts_with(kCuda)) return false;
  name.remove_prefix(kCuda.size());
  std::uint8_t index = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), index);
  return error == std::errc{} && end == name.data() + name.size();
}

Result<Stage> read_stage(const wire::Stage& message, std::size_t index) {
  if (auto named = check_name("node", message.node()); !named) return named.error();
  if (!is_device(message.device())) {
    return refused("stage {} is on the device {}; use \"cpu\" or \"cuda:N\"", index,
                   quoted(message.device()));
  }
  if (message.threads() > kMaximumThreads ||
      (message.threads() == 0 && message.device() == "cpu")) {
    return refused("stage {} has {} threads; 1 to {} are allowed", index, message.threads(),
                   kMaximumThreads);
  }
  if (message.operators().empty()) return refused("stage {} has no operators", index);
  if (!message.more_devices().empty()) {
    return refused(
        "stage {} is spread over {} devices; workers execute one device per stage so far, and "
        "`longhaul simulate` shows what this plan would do",
        index, message.more_devices_size() + 1);
  }
  const bool plain = std::ranges::all_of(message.strategies(), [](const wire::Strategy& strategy) {
    return strategy.data() <= 1 && strategy.tensor() <= 1 && strategy.sequence() <= 1 &&
           strategy.sharding() == wire::Strategy::NONE && !strategy.checkpoint();
  });
  if (!plain) {
    return refused("stage {} has strategies that no worker executes yet", index);
  }
  return Stage{.node = message.node(),
               .device = message.device(),
               .threads = message.threads(),
               .operators = {},
               .has_data = message.has_data()};
}

// Where each operator runs.
std::vector<std::uint32_t> stages_of(const Graph& graph, const std::vector<Stage>& stages) {
  std::vector<std::uint32_t> stage_of(graph.operators.size(), kNowhere);
  for (std::uint32_t s = 0; s < stages.size(); ++s) {
    for (const OperatorIndex op : stages[s].operators) stage_of[op.value] = s;
  }
  return stage_of;
}

Result<void> place_operators(const wire::Plan& message, const Graph& graph,
                             std::vector<Stage>& stages) {
  std::unordered_map<std::string_view, OperatorIndex> known;
  for (std::uint32_t i = 0; i < graph.operators.size(); ++i) {
    known.emplace(graph.operators[i].id, OperatorIndex{i});
  }
  std::vector<bool> placed(graph.operators.size());
  for (std::size_t s = 0; s < stages.size(); ++s) {
    for (const std::string& id : message.stages(static_cast<int>(s)).operators()) {
      const auto found = known.find(id);
      if (found == known.end()) {
        return refused("stage {} names {}, which is no operator of the graph", s, quoted(id));
      }
      if (placed[found->second.value]) return refused("operator {} is placed twice", quoted(id));
      placed[found->second.value] = true;
      stages[s].operators.push_back(found->second);
    }
    std::sort(stages[s].operators.begin(), stages[s].operators.end());
  }
  const auto missing = std::find(placed.begin(), placed.end(), false);
  if (missing != placed.end()) {
    const auto index = static_cast<std::size_t>(missing - placed.begin());
    return refused("operator {} is on no stage", quoted(graph.operators[index].id));
  }
  return {};
}

Result<void> check_flow(const Graph& graph, const std::vector<Stage>& stages) {
  const std::vector<std::uint32_t> stage_of = stages_of(graph, stages);
  const auto first_data = static_cast<std::uint32_t>(
      std::find_if(stages.begin(), stages.end(), [](const Stage& s) { return s.has_data; }) -
      stages.begin());
  if (first_data == stages.size()) return refused("no stage has data");
  for (std::uint32_t i = 0; i < graph.operators.size(); ++i) {
    const Operator& op = graph.operators[i];
    for (const ValueIndex input : op.inputs) {
      if (graph.is_data_input(input)) {
        if (stage_of[i] < first_data) {
          return refused("operator {} on stage {} needs {}, and no stage up to there has data",
                         quoted(op.id), stage_of[i], quoted(graph.value_name(input)));
        }
      } else if (stage_of[graph.operator_of(input).value] > stage_of[i]) {
        return refused("operator {} on stage {} reads {} of the later stage {}", quoted(op.id),
                       stage_of[i], quoted(graph.value_name(input)),
                       stage_of[graph.operator_of(input).value]);
      }
    }
  }
  return {};
}

Result<std::vector<LinkStart>> read_links(const wire::Plan& message) {
  std::vector<LinkStart> links;
  const auto stages = static_cast<std::uint32_t>(message.stages_size());
  for (const wire::LinkStart& link : message.links()) {
    if (link.from_stage() >= stages || link.to_stage() >= stages ||
        link.from_stage() == link.to_stage()) {
      return refused("a link from stage {} to stage {} of {}", link.from_stage(), link.to_stage(),
                     stages);
    }
    if (auto named = check_name("rung", link.rung()); !named) return named.error();
    links.push_back({StageIndex{link.from_stage()}, StageIndex{link.to_stage()}, link.rung()});
  }
  return links;
}

Result<Plan> read_plan(const wire::Plan& message, const Graph& graph) {
  Plan plan;
  plan.epoch = PlanEpoch{message.epoch()};
  plan.micro_batches = message.micro_batches();
  plan.micro_batch_size = message.micro_batch_size();
  if (plan.micro_batches < 1 || plan.micro_batches > kMaximumMicroBatches) {
    return refused("{} micro-batches; 1 to {} are allowed", plan.micro_batches,
                   kMaximumMicroBatches);
  }
  if (plan.micro_batch_size < 1 || plan.micro_batch_size > kMaximumBatch) {
    return refused("micro-batches of {} sequences; 1 to {} are allowed", plan.micro_batch_size,
                   kMaximumBatch);
  }
  const auto schedule = schedule_kind(message.schedule());
  if (!schedule) {
    return refused("unknown schedule {}; use \"gpipe\", \"1f1b\" or \"zero-bubble\"",
                   quoted(message.schedule()));
  }
  plan.schedule = *schedule;
  if (message.run_ahead() > kMaximumRunAhead) {
    return refused("run_ahead must be at most {}, not {}", kMaximumRunAhead, message.run_ahead());
  }
  plan.run_ahead = message.run_ahead();
  const auto stages = static_cast<std::size_t>(message.stages_size());
  if (stages == 0 || stages > graph.operators.size()) {
    return refused("{} stages for {} operators; every stage needs one", stages,
                   graph.operators.size());
  }
  for (std::size_t s = 0; s < stages; ++s) {
    auto stage = read_stage(message.stages(static_cast<int>(s)), s);
    if (!stage) return stage.error();
    plan.stages.push_back(std::move(*stage));
  }
  if (auto placed = place_operators(message, graph, plan.stages); !placed) {
    return placed.error();
  }
  if (auto flows = check_flow(graph, plan.stages); !flows) return flows.error();
  auto links = read_links(message);
  if (!links) return links.error();
  plan.links = std::move(*links);
  return plan;
}

}  // namespace

StageIndex Plan::stage_of(OperatorIndex op) const {
  for (std::uint32_t s = 0; s < stages.size(); ++s) {
    const auto& operators = stages[s].operators;
    if (std::binary_search(operators.begin(), operators.end(), op)) return StageIndex{s};
  }
  LONGHAUL_ASSERT(false);
}

StageIndex Plan::last_stage() const {
  LONGHAUL_ASSERT(!stages.empty());
  return StageIndex{static_cast<std::uint32_t>(stages.size()) - 1};
}

Result<Plan> Plan::from_wire(const wire::Plan& message, const Graph& graph) {
  auto plan = read_plan(message, graph);
  if (!plan) return with_context("plan", plan.error());
  return plan;
}

wire::Plan Plan::to_wire(const Graph& graph) const {
  wire::Plan out;
  out.set_epoch(epoch.value);
  for (const Stage& stage : stages) {
    wire::Stage& to = *out.add_stages();
    to.set_node(stage.node);
    to.set_device(stage.device);
    to.set_threads(stage.threads);
    for (const OperatorIndex op : stage.operators) {
      to.add_operators(graph.operators[op.value].id);
    }
    to.set_has_data(stage.has_data);
  }
  out.set_schedule(std::string(schedule_name(schedule)));
  out.set_run_ahead(run_ahead);
  out.set_micro_batches(micro_batches);
  out.set_micro_batch_size(micro_batch_size);
  for (const LinkStart& link : links) {
    wire::LinkStart& to = *out.add_links();
    to.set_from_stage(link.from.value);
    to.set_to_stage(link.to.value);
    to.set_rung(link.rung);
  }
  return out;
}

Plan whole_graph_plan(const Graph& graph, std::uint32_t micro_batch_size) {
  Stage stage{.node = {}, .device = "cpu", .threads = 1, .operators = {}, .has_data = true};
  for (std::uint32_t i = 0; i < graph.operators.size(); ++i) {
    stage.operators.push_back(OperatorIndex{i});
  }
  Plan plan;
  plan.stages.push_back(std::move(stage));
  plan.micro_batches = 1;
  plan.micro_batch_size = micro_batch_size;
  return plan;
}

Result<wire::Plan> parse_plan_json(std::string_view json) {
  wire::Plan plan;
  if (auto parsed = parse_message_json(json, "a plan", plan); !parsed) return parsed.error();
  return plan;
}

std::string plan_json(const wire::Plan& plan) { return message_json(plan); }

std::vector<Boundary> boundaries(const Graph& graph, const Plan& plan) {
  const std::vector<std::uint32_t> stage_of = stages_of(graph, plan.stages);
  const auto source = std::find_if(plan.stages.begin(), plan.stages.end(),
                                   [](const Stage& s) { return s.has_data; });
  LONGHAUL_ASSERT(source != plan.stages.end());
  const StageIndex data_source{static_cast<std::uint32_t>(source - plan.stages.begin())};

  std::vector<Boundary> crossing;
  for (std::uint32_t i = 0; i < graph.operators.size(); ++i) {
    const StageIndex to{stage_of[i]};
    for (const ValueIndex input : graph.operators[i].inputs) {
      if (graph.is_data_input(input)) {
        if (!plan.stages[to.value].has_data) crossing.push_back({input, data_source, to, true});
      } else if (const StageIndex from{stage_of[graph.operator_of(input).value]}; from != to) {
        crossing.push_back({input, from, to, false});
      }
    }
  }
  std::sort(crossing.begin(), crossing.end(), [](const Boundary& a, const Boundary& b) {
    return std::pair(a.value, a.to) < std::pair(b.value, b.to);
  });
  crossing.erase(std::unique(crossing.begin(), crossing.end()), crossing.end());
  return crossing;
}

std::vector<TiedParameter> tied_parameters(const Graph& graph, const Plan& plan) {
  std::vector<std::vector<StageIndex>> users(graph.parameters.size());
  for (std::uint32_t s = 0; s < plan.stages.size(); ++s) {
    for (const OperatorIndex op : plan.stages[s].operators) {
      for (const ParameterIndex parameter : graph.operators[op.value].parameters) {
        auto& stages = users[parameter.value];
        if (stages.empty() || stages.back() != StageIndex{s}) stages.push_back(StageIndex{s});
      }
    }
  }
  std::vector<TiedParameter> tied;
  for (std::uint32_t p = 0; p < users.size(); ++p) {
    if (users[p].size() > 1) tied.push_back({ParameterIndex{p}, std::move(users[p])});
  }
  return tied;
}

std::vector<ParameterIndex> stage_parameters(const Graph& graph, const Plan& plan,
                                             StageIndex stage) {
  std::vector<ParameterIndex> used;
  for (const OperatorIndex op : plan.stages[stage.value].operators) {
    const auto& parameters = graph.operators[op.value].parameters;
    used.insert(used.end(), parameters.begin(), parameters.end());
  }
  std::sort(used.begin(), used.end());
  used.erase(std::unique(used.begin(), used.end()), used.end());
  return used;
}

}  // namespace longhaul::proto
