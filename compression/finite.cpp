// The search for NaN and infinity: an exponent of ones.
#include "compression/finite.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>

namespace longhaul::compression {
namespace {

struct Fp32 {
  using Word = std::uint32_t;
  static constexpr Word kExponent = 0x7f800000;
  static constexpr Word kFraction = 0x007fffff;
  static Word bits(float value) { return std::bit_cast<Word>(value); }
};

struct BFloat16 {
  using Word = std::uint16_t;
  static constexpr Word kExponent = 0x7f80;
  static constexpr Word kFraction = 0x007f;
  static Word bits(Bf16 value) { return value.bits; }
};

template <class Format, class Value>
Result<void> check(std::span<const Value> values, std::size_t columns) {
  using Word = typename Format::Word;
  const auto found = [](Value value) {
    return (Format::bits(value) & Format::kExponent) == Format::kExponent;
  };
  constexpr std::size_t kPiece = 4096;
  for (std::size_t at = 0; at < values.size(); at += kPiece) {
    const auto piece = values.subspan(at, std::min(kPiece, values.size() - at));
    Word any = 0;  // no branch, so that the loop becomes a vector's
    for (const Value value : piece) any = static_cast<Word>(any | (found(value) ? 1 : 0));
    if (any == 0) continue;
    const auto first = std::ranges::find_if(piece, found);
    const std::size_t position = at + static_cast<std::size_t>(first - piece.begin());
    return Error{fmt::format(
        "the value at row {}, column {} {}", position / columns, position % columns,
        (Format::bits(*first) & Format::kFraction) != 0 ? "is not a number" : "is infinite")};
  }
  return {};
}

}  // namespace

Result<void> check_finite(std::span<const float> values, std::size_t columns) {
  return check<Fp32>(values, columns);
}

Result<void> check_finite(std::span<const Bf16> values, std::size_t columns) {
  return check<BFloat16>(values, columns);
}

}  // namespace longhaul::compression
