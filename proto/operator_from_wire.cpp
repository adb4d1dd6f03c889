// An operator's arities, parameters and attributes against its row of the registry.
#include "proto/operator_from_wire.hpp"

#include "proto/operator_registry.hpp"
#include "proto/refused.hpp"
#include "proto/text.hpp"

#include <algorithm>

namespace longhaul::proto {
namespace {

constexpr std::int64_t kMaximumHeads = 65536;

std::string_view type_name(AttributeType type) {
  switch (type) {
    case AttributeType::kInteger:
      return "integer";
    case AttributeType::kReal:
      return "real";
    case AttributeType::kText:
      return "text";
  }
  return "";
}

bool has_type(const wire::Attribute& attribute, AttributeType type) {
  switch (type) {
    case AttributeType::kInteger:
      return attribute.has_integer();
    case AttributeType::kReal:
      return attribute.has_real();
    case AttributeType::kText:
      return attribute.has_text();
  }
  return false;
}

Result<void> check_arity(const wire::Operator& message, const OperatorRule& rule) {
  if (static_cast<std::size_t>(message.inputs_size()) != rule.inputs) {
    return refused("{} takes {} input{}, not {}", rule.name, rule.inputs,
                   rule.inputs == 1 ? "" : "s", message.inputs_size());
  }
  const auto given = static_cast<std::size_t>(message.parameters_size());
  const std::size_t most = rule.required_parameters + rule.optional_parameters;
  if (given < rule.required_parameters || given > most) {
    return refused("{} takes {} parameter{}, not {}", rule.name,
                   rule.optional_parameters == 0
                       ? fmt::format("{}", most)
                       : fmt::format("{} or {}", rule.required_parameters, most),
                   most == 1 ? "" : "s", given);
  }
  return {};
}

Result<void> read_parameters(const wire::Operator& message, const ParameterNames& parameters,
                             Operator& op) {
  for (const std::string& name : message.parameters()) {
    const auto found = parameters.find(name);
    if (found == parameters.end()) {
      return refused("there is no parameter {}; list it under parameters", quoted(name));
    }
    if (std::find(op.parameters.begin(), op.parameters.end(), found->second) !=
        op.parameters.end()) {
      return refused("uses parameter {} twice; use two operators to tie it", quoted(name));
    }
    op.parameters.push_back(found->second);
  }
  return {};
}

// One of two texts: whether it is the second.
Result<bool> choice(std::string_view name, const std::string& text,
                    std::pair<std::string_view, std::string_view> choices) {
  if (text == choices.first) return false;
  if (text == choices.second) return true;
  return refused("attribute '{}' is {}; use '{}' or '{}'", name, quoted(text), choices.first,
                 choices.second);
}

Result<void> read_attribute(std::string_view name, const wire::Attribute& value, Operator& op) {
  if (name == "heads") {
    op.heads = value.integer();
    if (op.heads >= 1 && op.heads <= kMaximumHeads) return {};
    return refused("attribute 'heads' is {}; 1 to {} are allowed", op.heads, kMaximumHeads);
  }
  if (name == "rate") {
    op.rate = value.real();
    if (op.rate >= 0.0 && op.rate < 1.0) return {};
    return refused("attribute 'rate' is {}; it must lie in [0, 1)", op.rate);
  }
  if (name == "epsilon") {
    op.epsilon = value.real();
    if (op.epsilon > 0.0 && op.epsilon <= 1.0) return {};
    return refused("attribute 'epsilon' is {}; it must lie in (0, 1]", op.epsilon);
  }
  if (name == "layout") {
    const auto in_out = choice(name, value.text(), {"out_in", "in_out"});
    if (!in_out) return in_out.error();
    op.weight_is_in_out = *in_out;
    return {};
  }
  const auto tanh = choice(name, value.text(), {"none", "tanh"});  // gelu's "approximate"
  if (!tanh) return tanh.error();
  op.gelu_tanh = *tanh;
  return {};
}

Result<void> read_attributes(const wire::Operator& message, const OperatorRule& rule,
                             Operator& op) {
  std::vector<std::string_view> known;
  for (const AttributeRule& attribute : rule.attributes) known.push_back(attribute.name);
  std::size_t read = 0;
  for (const AttributeRule& attribute : rule.attributes) {
    const auto found = message.attributes().find(std::string(attribute.name));
    if (found == message.attributes().end()) {
      if (!attribute.required) continue;
      return refused("{} needs the attribute '{}'", rule.name, attribute.name);
    }
    if (!has_type(found->second, attribute.type)) {
      return refused("attribute '{0}' must be of type {1}: {{\"{1}\": ...}}", attribute.name,
                     type_name(attribute.type));
    }
    if (auto done = read_attribute(attribute.name, found->second, op); !done) return done.error();
    ++read;
  }
  if (read == message.attributes().size()) return {};
  std::string_view unknown;  // the first by name: a map's own order differs between processes
  for (const auto& [name, value] : message.attributes()) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    if (unknown.empty() || name < unknown) unknown = name;
  }
  return refused("{} has no attribute {}{}", rule.name, quoted(unknown),
                 did_you_mean(unknown, known));
}

}  // namespace

Result<Operator> operator_from_wire(const wire::Operator& message,
                                    const ParameterNames& parameters) {
  const std::optional<OperatorKind> kind = operator_kind(message.kind());
  if (!kind) {
    return refused("{} is no known operator{}", quoted(message.kind()),
                   did_you_mean(message.kind(), operator_names()));
  }
  const OperatorRule& rule = operator_rule(*kind);
  Operator op;
  op.id = message.id();
  op.kind = *kind;
  if (auto fits = check_arity(message, rule); !fits) return fits.error();
  if (auto read = read_attributes(message, rule, op); !read) return read.error();
  if (auto read = read_parameters(message, parameters, op); !read) return read.error();
  return op;
}

}  // namespace longhaul::proto
