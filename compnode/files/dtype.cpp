// The table of safetensors element types: names and widths.
#include "compnode/files/dtype.hpp"

#include <algorithm>
#include <array>

namespace longhaul::compnode {
namespace {

struct Row {
  Dtype dtype;
  std::string_view name;
  std::uint32_t bits;
};

constexpr std::array<Row, 20> kTable = {{
    {Dtype::kBool, "BOOL", 8},      {Dtype::kF4, "F4", 4},
    {Dtype::kF6E2M3, "F6_E2M3", 6}, {Dtype::kF6E3M2, "F6_E3M2", 6},
    {Dtype::kU8, "U8", 8},          {Dtype::kI8, "I8", 8},
    {Dtype::kF8E5M2, "F8_E5M2", 8}, {Dtype::kF8E4M3, "F8_E4M3", 8},
    {Dtype::kF8E8M0, "F8_E8M0", 8}, {Dtype::kI16, "I16", 16},
    {Dtype::kU16, "U16", 16},       {Dtype::kF16, "F16", 16},
    {Dtype::kBF16, "BF16", 16},     {Dtype::kI32, "I32", 32},
    {Dtype::kU32, "U32", 32},       {Dtype::kF32, "F32", 32},
    {Dtype::kC64, "C64", 64},       {Dtype::kF64, "F64", 64},
    {Dtype::kI64, "I64", 64},       {Dtype::kU64, "U64", 64},
}};

constexpr const Row& row(Dtype dtype) { return kTable[static_cast<std::size_t>(dtype)]; }

constexpr bool table_is_in_order() {
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<std::size_t>(kTable[i].dtype) != i) return false;
  }
  return true;
}
static_assert(table_is_in_order());

}  // namespace

std::string_view dtype_name(Dtype dtype) { return row(dtype).name; }

std::uint32_t dtype_bits(Dtype dtype) { return row(dtype).bits; }

std::optional<Dtype> dtype_from_name(std::string_view name) {
  const auto* found = std::ranges::find(kTable, name, &Row::name);
  if (found == kTable.end()) return std::nullopt;
  return found->dtype;
}

bool is_convertible(Dtype dtype) {
  return dtype == Dtype::kF64 || dtype == Dtype::kF32 || dtype == Dtype::kF16 ||
         dtype == Dtype::kBF16;
}

}  // namespace longhaul::compnode
