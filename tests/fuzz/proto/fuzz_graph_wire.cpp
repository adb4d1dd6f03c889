// Graph messages of a peer.
#include "tests/fuzz/proto/accepted_graph.hpp"

#include <cstddef>
#include <cstdint>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  longhaul::wire::Graph message;
  if (message.ParseFromArray(data, static_cast<int>(size))) longhaul::fuzz::check_graph(message);
  return 0;
}
