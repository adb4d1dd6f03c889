// A control message from a peer: refused, or an Envelope that can be written again.
#include "proto/channel/control_channel.hpp"

#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto envelope =
      longhaul::proto::envelope_from_wire({reinterpret_cast<const std::byte*>(data), size});
  if (envelope.has_error()) return 0;
  const std::string again = envelope.value().SerializeAsString();
  if (longhaul::proto::envelope_from_wire(std::as_bytes(std::span(again))).has_error()) {
    std::abort();
  }
  return 0;
}
