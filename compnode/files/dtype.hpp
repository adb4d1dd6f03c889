// The element types that a safetensors file may hold.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace longhaul::compnode {

// All that the format knows. Values are converted for kF64, kF32, kF16 and kBF16 only; tensors of
// the others are listed and can be copied as bytes.
enum class Dtype : std::uint8_t {
  kBool, kF4, kF6E2M3, kF6E3M2, kU8, kI8, kF8E5M2, kF8E4M3, kF8E8M0,
  kI16, kU16, kF16, kBF16, kI32, kU32, kF32, kC64, kF64, kI64, kU64,
};

[[nodiscard]] std::string_view dtype_name(Dtype dtype);  // as in files: "F32", "BF16", ...
[[nodiscard]] std::optional<Dtype> dtype_from_name(std::string_view name);
[[nodiscard]] std::uint32_t dtype_bits(Dtype dtype);  // of one element: 4, 6 or a multiple of 8

// Whether read_f32 can convert it.
[[nodiscard]] bool is_convertible(Dtype dtype);

}  // namespace longhaul::compnode
