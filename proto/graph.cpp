// A validated graph's own questions, and the way back to the wire.
#include "proto/graph.hpp"

#include "proto/assert.hpp"
#include "proto/operator_registry.hpp"

#include <algorithm>
#include <limits>

namespace longhaul::proto {

std::int64_t element_count(std::span<const std::int64_t> shape) {
  if (std::find(shape.begin(), shape.end(), 0) != shape.end()) return 0;
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) {
    LONGHAUL_ASSERT(extent > 0);
    if (__builtin_mul_overflow(count, extent, &count)) {
      return std::numeric_limits<std::int64_t>::max();
    }
  }
  return count;
}

std::int64_t Parameter::elements() const { return element_count(shape); }

ValueIndex Graph::value_of(OperatorIndex op) const {
  LONGHAUL_ASSERT(op.value < operators.size());
  return ValueIndex{static_cast<std::uint32_t>(data_inputs.size()) + op.value};
}

bool Graph::is_data_input(ValueIndex value) const { return value.value < data_inputs.size(); }

OperatorIndex Graph::operator_of(ValueIndex value) const {
  LONGHAUL_ASSERT(!is_data_input(value));
  const OperatorIndex op{value.value - static_cast<std::uint32_t>(data_inputs.size())};
  LONGHAUL_ASSERT(op.value < operators.size());
  return op;
}

const std::string& Graph::value_name(ValueIndex value) const {
  return is_data_input(value) ? data_inputs[value.value].name
                              : operators[operator_of(value).value].id;
}

std::optional<OperatorIndex> Graph::find_operator(std::string_view id) const {
  for (std::uint32_t i = 0; i < operators.size(); ++i) {
    if (operators[i].id == id) return OperatorIndex{i};
  }
  return std::nullopt;
}

std::optional<ParameterIndex> Graph::find_parameter(std::string_view parameter_name) const {
  for (std::uint32_t i = 0; i < parameters.size(); ++i) {
    if (parameters[i].name == parameter_name) return ParameterIndex{i};
  }
  return std::nullopt;
}

namespace {

void attributes_to_wire(const Operator& op, wire::Operator& out) {
  for (const AttributeRule& rule : operator_rule(op.kind).attributes) {
    wire::Attribute& attribute = (*out.mutable_attributes())[std::string(rule.name)];
    if (rule.name == "heads") {
      attribute.set_integer(op.heads);
    } else if (rule.name == "rate") {
      attribute.set_real(op.rate);
    } else if (rule.name == "epsilon") {
      attribute.set_real(op.epsilon);
    } else if (rule.name == "layout") {
      attribute.set_text(op.weight_is_in_out ? "in_out" : "out_in");
    } else {
      LONGHAUL_ASSERT(rule.name == "approximate");
      attribute.set_text(op.gelu_tanh ? "tanh" : "none");
    }
  }
}

}  // namespace

wire::Graph Graph::to_wire() const {
  wire::Graph out;
  out.set_name(name);
  for (const DataInput& input : data_inputs) {
    wire::DataInput& data = *out.add_data_inputs();
    data.set_name(input.name);
    data.set_kind(input.targets ? wire::DataInput::TARGETS : wire::DataInput::TOKENS);
  }
  for (const Parameter& parameter : parameters) {
    wire::Parameter& to = *out.add_parameters();
    to.set_name(parameter.name);
    to.mutable_shape()->Add(parameter.shape.begin(), parameter.shape.end());
    to.mutable_initialisation()->set_kind(parameter.initialisation);
    to.mutable_initialisation()->set_standard_deviation(parameter.standard_deviation);
    to.set_weight_decay(parameter.weight_decay);
  }
  for (const Operator& op : operators) {
    wire::Operator& to = *out.add_operators();
    to.set_id(op.id);
    to.set_kind(std::string(operator_name(op.kind)));
    attributes_to_wire(op, to);
    for (const ValueIndex input : op.inputs) to.add_inputs(value_name(input));
    for (const ParameterIndex index : op.parameters) {
      to.add_parameters(parameters[index.value].name);
    }
  }
  out.set_loss(operators[loss.value].id);
  if (logits) out.set_logits(operators[logits->value].id);
  out.set_huggingface_config_json(huggingface_config_json);
  return out;
}

}  // namespace longhaul::proto
