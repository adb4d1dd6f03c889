// Without nvcc no device is served: boundary tensors come to the host first.
#include "compnode/worker/device_boundary.hpp"

#include "compnode/execution/torch.hpp"
#include "proto/assert.hpp"

namespace longhaul::compnode {

struct DeviceMask {};
struct DeviceBoundary::Memory {};

DeviceBoundary::DeviceBoundary() = default;
DeviceBoundary::~DeviceBoundary() = default;

bool DeviceBoundary::serves(const at::Device&) { return false; }

compression::Result<void> DeviceBoundary::encode(const at::Tensor&, const Options&,
                                                 const BoundaryMask*, compression::Encoded&,
                                                 BoundaryMask&) {
  LONGHAUL_ASSERT(false);
  return compression::Error{"built without CUDA kernels"};
}

compression::Result<void> DeviceBoundary::decode(compression::Codec, std::span<const std::byte>,
                                                 compression::Shape, at::Tensor&, BoundaryMask&) {
  LONGHAUL_ASSERT(false);
  return compression::Error{"built without CUDA kernels"};
}

BoundaryMask DeviceBoundary::positions_below(const BoundaryMask&, std::size_t) {
  LONGHAUL_ASSERT(false);
  return {};
}

}  // namespace longhaul::compnode
