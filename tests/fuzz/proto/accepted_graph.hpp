// What must hold for every graph that from_wire accepts, whatever bytes it came from.
#pragma once

#include "proto/assert.hpp"
#include "proto/graph.hpp"
#include "proto/saved_values.hpp"

namespace longhaul::fuzz {

// Reads the graph; if it is accepted: operators only read what is before them, shapes can be
// asked for, and the graph is accepted again, with the same order, from its own to_wire.
inline void check_graph(const wire::Graph& message) {
  const auto graph = proto::Graph::from_wire(message);
  if (!graph) {
    LONGHAUL_ASSERT(graph.error().message.find('\n') == std::string::npos);
    LONGHAUL_ASSERT(graph.error().message.size() < 8192);
    return;
  }
  for (std::uint32_t i = 0; i < graph->operators.size(); ++i) {
    const proto::OperatorIndex index{i};
    const proto::Operator& op = graph->operators[i];
    for (const proto::ValueIndex input : op.inputs) {
      LONGHAUL_ASSERT(input < graph->value_of(index));
    }
    for (const proto::ParameterIndex parameter : op.parameters) {
      LONGHAUL_ASSERT(parameter.value < graph->parameters.size());
    }
  }
  for (const proto::ShapeBinding binding : {proto::ShapeBinding{.batch = 2, .sequence = 8},
                                            {.batch = 1 << 20, .sequence = 1 << 20}}) {
    const auto shapes = proto::infer_shapes(*graph, binding);
    if (!shapes) continue;
    for (std::uint32_t i = 0; i < graph->operators.size(); ++i) {
      const proto::Operator& op = graph->operators[i];
      (void)proto::saved_values(op, (*shapes)[op.inputs[0].value],
                                (*shapes)[graph->value_of(proto::OperatorIndex{i}).value]);
    }
  }
  const auto again = proto::Graph::from_wire(graph->to_wire());
  LONGHAUL_ASSERT(again.has_value());
  for (std::size_t i = 0; i < graph->operators.size(); ++i) {
    LONGHAUL_ASSERT(again->operators[i].id == graph->operators[i].id);
  }
}

}  // namespace longhaul::fuzz
