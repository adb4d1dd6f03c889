// Fuzz target: any bytes as the table of a network; what is accepted can be emulated.
#include "daemon/wan/network_file.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace longhaul::daemon;
  const auto network =
      parse_network(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
  if (!network) {
    for (const auto& diagnostic : network.error().items) {
      if (diagnostic.message.find_first_of("\n\r\x1b") != std::string::npos) std::abort();
    }
    return 0;
  }
  for (const auto& [ends, path] : network->paths) {
    const auto& is = path.conditions;
    if (!(is.rate_bits_per_s > 0.0 && is.loss >= 0.0 && is.loss <= 1.0)) std::abort();
    if (is.delay.count() < 0 || is.jitter.count() < 0) std::abort();
  }
  return 0;
}
