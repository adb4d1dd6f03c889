// Which operators take the same time: the name under which a profile has their measurements.
#pragma once

#include "proto/graph.hpp"

#include <span>
#include <string>

namespace longhaul::proto {

// Kind, extents and attributes that decide how long an operator takes, but for batch and sequence:
// "linear 256->768 bias", "attention 256 heads 4 dropout", "gelu 1024", "cross_entropy 50257".
// `shapes` as infer_shapes gives them, for any batch and sequence.
[[nodiscard]] std::string operator_class(const Graph& graph, OperatorIndex op,
                                         std::span<const Shape> shapes);

}  // namespace longhaul::proto
