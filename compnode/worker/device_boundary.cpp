// The device codec over LibTorch's tensors: pointers of the device are all that passes between
// them.
#include "compnode/worker/device_boundary.hpp"

#include "compnode/execution/torch.hpp"
#include "compression/cuda/device_codec.hpp"
#include "proto/assert.hpp"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <ATen/cuda/CUDAContext.h>
#pragma GCC diagnostic pop

#include <optional>
#include <vector>

namespace longhaul::compnode {

struct DeviceMask {
  compression::cuda::DeviceBuffer<std::uint32_t> positions;
};

struct DeviceBoundary::Memory {
  std::optional<compression::cuda::DeviceCodec> codec;  // once the device is known
};

namespace {

// Calls `body` with the values on the device: floats, or the bits of bfloat16.
template <class Body>
auto with_device_values(const at::Tensor& tensor, Body body) {
  LONGHAUL_ASSERT(tensor.is_contiguous() && tensor.is_cuda());
  if (tensor.scalar_type() == at::kFloat) return body(static_cast<float*>(tensor.data_ptr()));
  LONGHAUL_ASSERT(tensor.scalar_type() == at::kBFloat16);
  return body(static_cast<std::uint16_t*>(tensor.data_ptr()));
}

compression::cuda::DeviceCodec& codec_for(std::optional<compression::cuda::DeviceCodec>& codec,
                                          const at::Tensor& tensor) {
  if (!codec) codec.emplace(static_cast<int>(tensor.get_device()));
  compression::cuda::current_stream =
      at::cuda::getCurrentCUDAStream(static_cast<c10::DeviceIndex>(tensor.get_device())).stream();
  return *codec;
}

}  // namespace

DeviceBoundary::DeviceBoundary() : memory_(std::make_unique<Memory>()) {}
DeviceBoundary::~DeviceBoundary() = default;

bool DeviceBoundary::serves(const at::Device& device) { return device.is_cuda(); }

compression::Result<void> DeviceBoundary::encode(const at::Tensor& tensor, const Options& options,
                                                 const BoundaryMask* mask,
                                                 compression::Encoded& out, BoundaryMask& found) {
  compression::cuda::DeviceCodec& codec = codec_for(memory_->codec, tensor);
  if (mask != nullptr) {
    LONGHAUL_ASSERT(mask->device != nullptr);
    return with_device_values(tensor, [&](const auto* values) {
      return codec.encode_masked(values, options.shape, mask->device->positions, options.rung,
                                 options.key, out);
    });
  }
  const auto own = std::make_shared<DeviceMask>();
  const auto done = with_device_values(tensor, [&](const auto* values) {
    return codec.encode(values, options.shape, options.rung, options.key, out, own->positions);
  });
  if (own->positions.size() != 0) found.device = own;
  return done;
}

compression::Result<void> DeviceBoundary::decode(compression::Codec codec,
                                                 std::span<const std::byte> payload,
                                                 compression::Shape shape, at::Tensor& into,
                                                 BoundaryMask& mask) {
  const bool finds_one = codec == compression::Codec::kTopK;
  if (finds_one) mask.device = std::make_shared<DeviceMask>();
  auto* const positions = mask.device == nullptr ? nullptr : &mask.device->positions;
  return with_device_values(into, [&](auto* values) {
    return codec_for(memory_->codec, into).decode(codec, payload, shape, values, positions);
  });
}

BoundaryMask DeviceBoundary::positions_below(const BoundaryMask& mask, std::size_t elements) {
  std::vector<std::uint32_t> positions(mask.device->positions.size());
  mask.device->positions.download_to(positions);
  std::erase_if(positions, [&](std::uint32_t position) { return position >= elements; });
  BoundaryMask cut;
  if (positions.empty()) return cut;
  cut.device = std::make_shared<DeviceMask>();
  cut.device->positions.assign(positions);
  return cut;
}

}  // namespace longhaul::compnode
