// Writes a wire::Graph operator by operator; for the front ends.
#pragma once

#include "proto/graph.pb.h"

#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace longhaul::daemon {

// How parameters start.
inline wire::Initialisation zeros() { return {}; }
inline wire::Initialisation ones() {
  wire::Initialisation start;
  start.set_kind(wire::Initialisation::ONES);
  return start;
}
inline wire::Initialisation normal(double standard_deviation) {
  wire::Initialisation start;
  start.set_kind(wire::Initialisation::NORMAL);
  start.set_standard_deviation(standard_deviation);
  return start;
}

class GraphBuilder {
 public:
  // Declares a parameter and returns its name. Parameters of two and more dimensions decay.
  std::string parameter(std::string name, std::vector<std::int64_t> shape,
                        const wire::Initialisation& start) {
    wire::Parameter& parameter = *graph.add_parameters();
    parameter.set_weight_decay(shape.size() >= 2);
    parameter.set_name(name);
    parameter.mutable_shape()->Add(shape.begin(), shape.end());
    *parameter.mutable_initialisation() = start;
    return name;
  }

  // Appends an operator; the reference, for attributes, lasts until the next one.
  wire::Operator& op(std::string id, std::string kind, std::initializer_list<std::string> inputs,
                     std::initializer_list<std::string> parameters = {}) {
    wire::Operator& op = *graph.add_operators();
    op.set_id(std::move(id));
    op.set_kind(std::move(kind));
    for (const std::string& input : inputs) op.add_inputs(input);
    for (const std::string& parameter : parameters) op.add_parameters(parameter);
    return op;
  }

  wire::Graph graph;
};

}  // namespace longhaul::daemon
