// A wire graph as text for people and as bytes for comparison.
#pragma once

#include "proto/graph.pb.h"

#include <string>

namespace longhaul::proto {

// Protobuf JSON, indented, field names as in graph.proto: what parse_graph_json reads.
[[nodiscard]] std::string graph_json(const wire::Graph& graph);

// Equal graphs give equal bytes, in every process: attributes are in the order of their names.
[[nodiscard]] std::string canonical_bytes(const wire::Graph& graph);

}  // namespace longhaul::proto
