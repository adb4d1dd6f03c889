// The table of operators: what each kind takes, as data; from_wire and the documentation follow it.
#pragma once

#include "proto/graph.hpp"

#include <cstddef>
#include <span>
#include <string_view>

namespace longhaul::proto {

enum class AttributeType { kInteger, kReal, kText };

struct AttributeRule {
  std::string_view name;
  AttributeType type{};
  bool required = false;
};

struct OperatorRule {
  OperatorKind kind{};
  std::string_view name;
  std::size_t inputs = 1;
  std::size_t required_parameters = 0;
  std::size_t optional_parameters = 0;
  std::span<const AttributeRule> attributes = {};
  int data_input = -1;  // the input that takes integers; every other takes activations
};

// Every kind once, in the order of OperatorKind.
[[nodiscard]] std::span<const OperatorRule> operator_rules();
[[nodiscard]] const OperatorRule& operator_rule(OperatorKind kind);
[[nodiscard]] std::span<const std::string_view> operator_names();

}  // namespace longhaul::proto
