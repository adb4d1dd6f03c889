// Graph files of a user.
#include "tests/fuzz/proto/accepted_graph.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto message = longhaul::proto::parse_graph_json(
      std::string_view(reinterpret_cast<const char*>(data), size), 0.1);
  if (message) longhaul::fuzz::check_graph(*message);
  return 0;
}
