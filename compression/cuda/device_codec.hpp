// Tensors on a device into payloads and back: tensor_codec.hpp's functions, the same bytes.
#pragma once

#include "compression/buffer.hpp"
#include "compression/codec.hpp"
#include "compression/cuda/device_buffer.hpp"
#include "compression/error.hpp"
#include "compression/rung.hpp"
#include "compression/tensor_codec.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace longhaul::compression::cuda {

struct DeviceMemory;

// Memory on the device between calls. One thread at a time, whose current device becomes this one;
// all work is in the thread's current_stream, and every function returns when its result is there,
// but for decode(): later work in that stream finds it. Where the device fails, std::runtime_error.
class DeviceCodec {
 public:
  // `device`: CUDA's number of it.
  explicit DeviceCodec(int device = 0);
  ~DeviceCodec();
  DeviceCodec(DeviceCodec&&) noexcept;
  DeviceCodec& operator=(DeviceCodec&&) noexcept;

  // As longhaul::compression::encode(): the payload, the codec, the distortion and the errors are
  // the same. `values` is on the device, row-major. The mask stays there: for a kTopK payload
  // `mask` gets it, else it becomes empty; out.mask is not touched.
  [[nodiscard]] Result<void> encode(In<float> values, Shape shape, const Rung& rung,
                                    std::uint64_t key, Encoded& out,
                                    DeviceBuffer<std::uint32_t>& mask);
  // bfloat16, by their bits.
  [[nodiscard]] Result<void> encode(In<std::uint16_t> values, Shape shape, const Rung& rung,
                                    std::uint64_t key, Encoded& out,
                                    DeviceBuffer<std::uint32_t>& mask);

  // As encode_masked(). The mask is our own: that its entries are in the tensor is not checked.
  [[nodiscard]] Result<void> encode_masked(In<float> values, Shape shape,
                                           const DeviceBuffer<std::uint32_t>& mask,
                                           const Rung& rung, std::uint64_t key, Encoded& out);
  [[nodiscard]] Result<void> encode_masked(In<std::uint16_t> values, Shape shape,
                                           const DeviceBuffer<std::uint32_t>& mask,
                                           const Rung& rung, std::uint64_t key, Encoded& out);

  // As decode(): what that refuses is refused, though with other words. `out` is on the device,
  // rows * columns values; so is `mask`, which may be null where the codec needs none.
  [[nodiscard]] Result<void> decode(Codec codec, std::span<const std::byte> payload, Shape shape,
                                    Out<float> out, DeviceBuffer<std::uint32_t>* mask);
  [[nodiscard]] Result<void> decode(Codec codec, std::span<const std::byte> payload, Shape shape,
                                    Out<std::uint16_t> out, DeviceBuffer<std::uint32_t>* mask);

 private:
  DeviceMemory& use();  // makes the device current

  int device_;
  std::unique_ptr<DeviceMemory> memory_;
};

}  // namespace longhaul::compression::cuda
