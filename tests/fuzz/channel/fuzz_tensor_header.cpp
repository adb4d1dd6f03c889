// A header frame from a peer: refused, or within the bounds that the receiver relies on.
#include "proto/channel/tensor_channel.hpp"

#include <cstdint>
#include <cstdlib>

namespace {

// The promises of tensor_header_from_wire, computed another way.
void check(const longhaul::wire::TensorHeader& header) {
  using longhaul::wire::TensorHeader;
  if (!TensorHeader::Kind_IsValid(header.kind()) || header.kind() == TensorHeader::UNSPECIFIED ||
      !TensorHeader::Phase_IsValid(header.phase()) || header.name().size() > 512 ||
      header.payload_bytes() > longhaul::proto::kMaxTensorPayloadBytes) {
    std::abort();
  }
  if (header.kind() == TensorHeader::HELLO || header.kind() == TensorHeader::HELLO_REPLY) return;
  if (header.shape_size() > 8) std::abort();
  long double elements = 1;
  for (const std::int64_t extent : header.shape()) {
    if (extent <= 0) std::abort();
    elements *= static_cast<long double>(extent);
  }
  constexpr auto kMostBytes = static_cast<long double>(longhaul::proto::kMaxTensorPayloadBytes);
  if (elements * 2 > kMostBytes) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto header =
      longhaul::proto::tensor_header_from_wire({reinterpret_cast<const std::byte*>(data), size});
  if (header.has_value()) check(header.value());
  return 0;
}
