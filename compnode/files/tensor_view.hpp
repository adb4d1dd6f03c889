// A tensor in memory that somebody else owns, and its conversion to fp32.
#pragma once

#include "compnode/files/dtype.hpp"
#include "proto/error.hpp"
#include "proto/graph.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace longhaul::compnode {

// `bytes` are little-endian, row-major, without padding; their address need not be aligned for the
// element. Valid as long as their owner: a SafetensorsFile, WeightsFolder, ModelWeights,
// Checkpoint (moving the owner keeps them valid), or the caller's own buffer.
struct TensorView {
  Dtype dtype = Dtype::kF32;
  proto::Shape shape;  // extents >= 0; [] is a scalar
  std::span<const std::byte> bytes;
};

// What the tensor's shape takes in its dtype, whether `bytes` are there or not.
[[nodiscard]] std::uint64_t byte_count(const TensorView& view);

// A view of fp32 values, shape unchecked against their number.
[[nodiscard]] TensorView f32_view(proto::Shape shape, std::span<const float> values);

// A tensor under the name it has in a file.
struct NamedTensor {
  std::string name;
  TensorView view;
};

// Fills `out` with the tensor's values. F64 and F32 keep NaN and infinity; F64 rounds to nearest
// even and overflows to infinity; F16 and BF16 are exact, subnormals included. Errors are
// kConfiguration: another dtype, or `out` has another number of elements.
[[nodiscard]] proto::Result<void> read_f32(const TensorView& view, std::span<float> out);

// "[2, 3]", abbreviated after eight extents.
[[nodiscard]] std::string shape_text(std::span<const std::int64_t> shape);

}  // namespace longhaul::compnode
