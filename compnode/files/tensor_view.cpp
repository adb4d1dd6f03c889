// Conversion of the float types of files to fp32.
#include "compnode/files/tensor_view.hpp"

#include <fmt/format.h>

#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

namespace longhaul::compnode {
namespace {

static_assert(std::endian::native == std::endian::little, "files are read in place");

float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

// IEEE 754 binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits.
float from_f16(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
  const std::uint32_t exponent = (bits >> 10) & 0x1FU;
  const std::uint32_t fraction = bits & 0x3FFU;
  if (exponent == 0) {  // zero or subnormal: fraction * 2^-24, exact in fp32
    const float magnitude = static_cast<float>(fraction) * 0x1p-24F;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(magnitude) | sign);
  }
  if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000U | (fraction << 13));
  return std::bit_cast<float>(sign | ((exponent + 112U) << 23) | (fraction << 13));
}

template <class Stored, class Convert>
void convert(std::span<const std::byte> bytes, std::span<float> out, Convert to_float) {
  const std::byte* from = bytes.data();
  for (float& value : out) {
    Stored stored;
    std::memcpy(&stored, from, sizeof stored);
    value = to_float(stored);
    from += sizeof stored;
  }
}

}  // namespace

std::uint64_t byte_count(const TensorView& view) {
  const auto elements = static_cast<std::uint64_t>(proto::element_count(view.shape));
  return elements * dtype_bits(view.dtype) / 8;
}

TensorView f32_view(proto::Shape shape, std::span<const float> values) {
  return {Dtype::kF32, std::move(shape), std::as_bytes(values)};
}

proto::Result<void> read_f32(const TensorView& view, std::span<float> out) {
  if (!is_convertible(view.dtype)) {
    return proto::configuration_error(
        fmt::format("dtype {} cannot be read as numbers: convert the tensor to F32, F16, BF16 or "
                    "F64", dtype_name(view.dtype)));
  }
  const std::size_t width = dtype_bits(view.dtype) / 8;
  if (view.bytes.size() / width != out.size() || view.bytes.size() % width != 0) {
    return proto::configuration_error(fmt::format("{} bytes of {} are not {} elements",
                                                  view.bytes.size(), dtype_name(view.dtype),
                                                  out.size()));
  }
  if (out.empty()) return {};
  if (view.dtype == Dtype::kF32) {
    std::memcpy(out.data(), view.bytes.data(), view.bytes.size());
  } else if (view.dtype == Dtype::kF64) {
    convert<double>(view.bytes, out, [](double value) { return static_cast<float>(value); });
  } else if (view.dtype == Dtype::kF16) {
    convert<std::uint16_t>(view.bytes, out, from_f16);
  } else {
    convert<std::uint16_t>(view.bytes, out, from_bf16);
  }
  return {};
}

std::string shape_text(std::span<const std::int64_t> shape) {
  constexpr std::size_t kShown = 8;
  if (shape.size() <= kShown) return fmt::format("[{}]", fmt::join(shape, ", "));
  return fmt::format("[{}, ... {} in all]", fmt::join(shape.first(kShown), ", "), shape.size());
}

}  // namespace longhaul::compnode
