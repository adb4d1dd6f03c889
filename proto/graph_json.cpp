// Reads graph files: Protobuf's own JSON, with the job's dropout where the file leaves it open.
#include "proto/graph.hpp"

#include <fmt/format.h>
#include <google/protobuf/util/json_util.h>

namespace longhaul::proto {
namespace {

constexpr std::size_t kMaximumBytes = std::size_t{64} << 20;
constexpr std::size_t kShownBytes = 300;

// Protobuf shows the place in the text on lines of their own, cut anywhere, perhaps within a
// character.
std::string one_line(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kShownBytes)) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte > 0x7e) {
      out += '?';
    } else if (byte > 0x20) {
      out += c;
    } else if (!out.empty() && out.back() != ' ') {
      out += ' ';
    }
  }
  while (!out.empty() && (out.back() == ' ' || out.back() == '^' || out.back() == '.')) {
    out.pop_back();
  }
  return out.starts_with(": ") ? out.substr(2) : out;
}

}  // namespace

Result<wire::Graph> parse_graph_json(std::string_view json, double default_dropout) {
  if (json.size() > kMaximumBytes) {
    return configuration_error(fmt::format(
        "the graph file has {} bytes; at most {} are allowed", json.size(), kMaximumBytes));
  }
  wire::Graph graph;
  const auto status = google::protobuf::util::JsonStringToMessage(
      google::protobuf::StringPiece(json.data(), json.size()), &graph);
  if (!status.ok()) {
    return configuration_error("not a graph in Protobuf JSON: " +
                               one_line({status.message().data(), status.message().size()}));
  }
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
