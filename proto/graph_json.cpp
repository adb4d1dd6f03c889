// Reads graph files, with the job's dropout where the file leaves it open.
#include "proto/graph.hpp"
#include "proto/message_json.hpp"

namespace longhaul::proto {

Result<wire::Graph> parse_graph_json(std::string_view json, double default_dropout) {
  wire::Graph graph;
  if (auto parsed = parse_message_json(json, "a graph", graph); !parsed) return parsed.error();
  for (wire::Operator& op : *graph.mutable_operators()) {
    const bool drops = op.kind() == operator_name(OperatorKind::kDropout) ||
                       op.kind() == operator_name(OperatorKind::kAttention);
    if (drops && !op.attributes().contains("rate")) {
      (*op.mutable_attributes())["rate"].set_real(default_dropout);
    }
  }
  return graph;
}

}  // namespace longhaul::proto
