// A validated plan, and what follows from it: which tensors cross between stages.
#pragma once

#include "proto/error.hpp"
#include "proto/graph.hpp"
#include "proto/ids.hpp"
#include "proto/pipeline_schedule.hpp"
#include "proto/plan.pb.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::proto {

struct Stage {
  std::string node;
  std::string device;  // "cpu" or "cuda:N"
  std::uint32_t threads = 1;
  std::vector<OperatorIndex> operators;  // ascending
  bool has_data = false;
};

// What a link carries until its own measurements say better.
struct LinkStart {
  StageIndex from;
  StageIndex to;     // before `from`: the gradients' direction
  std::string rung;  // as compression/format.md names it; checked by who encodes

  bool operator==(const LinkStart&) const = default;
};

struct Plan {
  PlanEpoch epoch;
  std::vector<Stage> stages;
  ScheduleKind schedule{};
  std::uint32_t run_ahead = 0;  // ScheduleShape's
  std::uint32_t micro_batches = 0;
  std::uint32_t micro_batch_size = 0;
  std::vector<LinkStart> links = {};  // where the planner has chosen

  [[nodiscard]] StageIndex stage_of(OperatorIndex op) const;
  [[nodiscard]] StageIndex last_stage() const;

  // Every operator placed exactly once; no value flows to an earlier stage; no stage empty; some
  // stage has data, and the stages that need data either have it or come after one that does; one
  // device per stage, since workers execute no other strategies yet.
  [[nodiscard]] static Result<Plan> from_wire(const wire::Plan& message, const Graph& graph);
  [[nodiscard]] wire::Plan to_wire(const Graph& graph) const;
};

// The whole graph as one stage of a cpu that has the data: for one process alone.
[[nodiscard]] Plan whole_graph_plan(const Graph& graph, std::uint32_t micro_batch_size);

// A plan's file: Protobuf JSON of wire::Plan, at most 64 MiB.
[[nodiscard]] Result<wire::Plan> parse_plan_json(std::string_view json);
[[nodiscard]] std::string plan_json(const wire::Plan& plan);

// One tensor that crosses: forward as an activation (or data), backward as its gradient.
struct Boundary {
  ValueIndex value;
  StageIndex from;
  StageIndex to;
  bool data = false;  // a data input for a stage without data: integers, no gradient

  bool operator==(const Boundary&) const = default;
};

// Ordered by value, then by `to`. A value goes once to each stage that reads it. A data input is
// sent by the first stage that has data.
[[nodiscard]] std::vector<Boundary> boundaries(const Graph& graph, const Plan& plan);

// A parameter that operators of more than one stage use; stages ascending.
struct TiedParameter {
  ParameterIndex parameter;
  std::vector<StageIndex> stages;

  bool operator==(const TiedParameter&) const = default;
};
[[nodiscard]] std::vector<TiedParameter> tied_parameters(const Graph& graph, const Plan& plan);

// Parameters that the stage's operators use, ascending.
[[nodiscard]] std::vector<ParameterIndex> stage_parameters(const Graph& graph, const Plan& plan,
                                                           StageIndex stage);

}  // namespace longhaul::proto
