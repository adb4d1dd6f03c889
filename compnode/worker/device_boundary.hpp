// Boundary tensors on a CUDA device, encoded and decoded where they are. There are two bodies: one
// with the kernels of compression/cuda, and one for builds without nvcc, which serves no device.
#pragma once

#include "compression/buffer.hpp"
#include "compression/tensor_codec.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace at {
class Tensor;
}
namespace c10 {
struct Device;
}

namespace longhaul::compnode {

// Positions of the entries that a top-k payload carried, on the tensor's device.
struct DeviceMask;

// Such a mask, where the tensor was.
struct BoundaryMask {
  compression::Buffer<std::uint32_t> host;
  std::shared_ptr<DeviceMask> device;

  [[nodiscard]] bool empty() const { return host.empty() && device == nullptr; }
};

// For tensors of one device; one thread at a time. Waits for what the device was given before in
// the thread's current stream of LibTorch; a tensor of another thread must be complete.
// Where the device fails, std::runtime_error.
class DeviceBoundary {
 public:
  DeviceBoundary();
  ~DeviceBoundary();
  DeviceBoundary(const DeviceBoundary&) = delete;
  DeviceBoundary& operator=(const DeviceBoundary&) = delete;

  // Whether the functions below may be called for tensors there.
  [[nodiscard]] static bool serves(const c10::Device& device);

  struct Options {
    compression::Shape shape;
    compression::Rung rung;
    std::uint64_t key = 0;
  };
  // compression::encode(), or encode_masked() under `mask` unless that is null. `tensor`: fp32 or
  // bf16, contiguous; options.shape may be its first rows. A mask that the payload has of its own
  // goes to `found`.
  [[nodiscard]] compression::Result<void> encode(const at::Tensor& tensor, const Options& options,
                                                 const BoundaryMask* mask,
                                                 compression::Encoded& out, BoundaryMask& found);
  // compression::decode(), to the whole of `into`.
  [[nodiscard]] compression::Result<void> decode(compression::Codec codec,
                                                 std::span<const std::byte> payload,
                                                 compression::Shape shape, at::Tensor& into,
                                                 BoundaryMask& mask);
  // Of a mask there its entries below `elements`.
  [[nodiscard]] static BoundaryMask positions_below(const BoundaryMask& mask, std::size_t elements);

 private:
  struct Memory;
  std::unique_ptr<Memory> memory_;
};

}  // namespace longhaul::compnode
