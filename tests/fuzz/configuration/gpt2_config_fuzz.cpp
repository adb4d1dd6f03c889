// Fuzz target: a foreign config.json; whatever is accepted must pass the peers' check of graphs.
#include "daemon/configuration/gpt2.hpp"
#include "daemon/configuration/gpt2_config.hpp"

#include "proto/graph.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace longhaul;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto config = daemon::parse_gpt2_config(text);
  if (!config || config->layers > 8) return 0;  // deep models are only slow
  const auto graph = daemon::gpt2_graph(text, {.dropout = std::nullopt, .sequence_length = 1});
  if (!graph || !proto::Graph::from_wire(*graph)) std::abort();
  return 0;
}
