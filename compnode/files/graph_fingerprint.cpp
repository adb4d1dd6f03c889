// Hashes the canonical bytes of a graph.
#include "compnode/files/graph_fingerprint.hpp"

#include "proto/checksum.hpp"
#include "proto/graph_bytes.hpp"

#include <fmt/format.h>

#include <span>

namespace longhaul::compnode {

std::string fingerprint(const proto::Graph& graph) {
  wire::Graph computed = graph.to_wire();
  computed.clear_name();
  computed.clear_huggingface_config_json();
  const std::string bytes = proto::canonical_bytes(computed);
  return fmt::format("{:016x}", proto::checksum(std::as_bytes(std::span(bytes))));
}

}  // namespace longhaul::compnode
