// Checks one foreign operator message by itself: kind, arities, attributes and parameter names.
#pragma once

#include "proto/graph.hpp"

#include <string>
#include <unordered_map>

namespace longhaul::proto {

using ParameterNames = std::unordered_map<std::string, ParameterIndex>;

// Everything but `inputs`, whose names are only known when every operator has been read. Errors are
// kConfiguration and lack the operator's name.
[[nodiscard]] Result<Operator> operator_from_wire(const wire::Operator& message,
                                                  const ParameterNames& parameters);

}  // namespace longhaul::proto
