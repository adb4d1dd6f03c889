// The checksum of what is measured, in one order.
#include "proto/profile_key.hpp"

#include "proto/checksum.hpp"
#include "proto/graph_bytes.hpp"

#include <span>
#include <string>

namespace longhaul::proto {

std::uint64_t profile_key(const wire::ProfileRequest& request) {
  std::string text = request.precision() + '\n';
  for (const auto batch : request.batches()) text += "b" + std::to_string(batch) + '\n';
  for (const auto sequence : request.sequences()) text += "s" + std::to_string(sequence) + '\n';
  for (const auto& graph : request.graphs()) {
    const std::string bytes = canonical_bytes(graph);
    text += std::to_string(bytes.size()) + '\n' + bytes;
  }
  return checksum(std::as_bytes(std::span(text)));
}

}  // namespace longhaul::proto
