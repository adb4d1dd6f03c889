// Conversion of stored floats.
#include "compnode/files/tensor_view.hpp"

#include "tests/unit/files/result_text.hpp"

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

namespace longhaul::compnode {
namespace {

template <class Stored>
std::vector<float> read(Dtype dtype, const std::vector<Stored>& stored) {
  std::vector<float> out(stored.size(), -1.0F);
  const TensorView view{.dtype = dtype,
                        .shape = {static_cast<std::int64_t>(stored.size())},
                        .bytes = std::as_bytes(std::span(stored))};
  REQUIRE(read_f32(view, out));
  return out;
}

TEST_CASE("read_f32: all 65536 halves have the value that IEEE 754 gives them") {
  std::vector<std::uint16_t> stored(65536);
  for (std::size_t i = 0; i < stored.size(); ++i) stored[i] = static_cast<std::uint16_t>(i);
  const auto values = read(Dtype::kF16, stored);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < stored.size(); ++i) {
    const int exponent = static_cast<int>(i >> 10 & 31);
    const double fraction = static_cast<double>(i & 1023);
    double expected = exponent == 0 ? std::ldexp(fraction, -24)
                                    : std::ldexp(1024.0 + fraction, exponent - 25);
    if (exponent == 31) expected = std::numeric_limits<double>::infinity();
    if (i >= 32768) expected = -expected;
    const bool is_nan = exponent == 31 && fraction != 0;
    const bool right = is_nan ? std::isnan(values[i])
                              : static_cast<double>(values[i]) == expected &&
                                    std::signbit(values[i]) == (i >= 32768);
    if (!right) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("read_f32: bfloat16 is the upper half of fp32, whatever the bits") {
  std::vector<std::uint16_t> stored(65536);
  for (std::size_t i = 0; i < stored.size(); ++i) stored[i] = static_cast<std::uint16_t>(i);
  const auto values = read(Dtype::kBF16, stored);
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < stored.size(); ++i) {
    if (std::bit_cast<std::uint32_t>(values[i]) != static_cast<std::uint32_t>(i) << 16) ++wrong;
  }
  CHECK(wrong == 0);
}

TEST_CASE("read_f32: doubles round to nearest even and overflow to infinity") {
  const double tie = 1.0 + 0x1p-24;  // halfway between 1 and its successor
  const auto values = read<double>(Dtype::kF64, {tie, 1.0 + 0x1.8p-23, 1e300, -0.0, 1e-46,
                                                 std::numeric_limits<double>::quiet_NaN()});
  CHECK(values[0] == 1.0F);
  CHECK(values[1] == 1.0F + 0x1p-22F);
  CHECK(std::isinf(values[2]));
  CHECK(std::signbit(values[3]));
  CHECK(values[4] == 0.0F);
  CHECK(std::isnan(values[5]));
}

TEST_CASE("read_f32: fp32 passes bit for bit, from an address that is not aligned") {
  const std::vector<float> original{1.5F, -0.0F, std::numeric_limits<float>::denorm_min()};
  std::vector<std::byte> shifted(1 + 12);
  std::memcpy(shifted.data() + 1, original.data(), 12);
  std::vector<float> out(3);
  REQUIRE(read_f32({Dtype::kF32, {3}, std::span(shifted).subspan(1)}, out));
  CHECK(std::memcmp(out.data(), original.data(), 12) == 0);
}

TEST_CASE("read_f32: other dtypes and other sizes are refused") {
  const std::vector<std::byte> bytes(12);
  std::vector<float> out(3);
  CHECK(read_f32({Dtype::kI32, {3}, bytes}, out).error().message.find("I32") != std::string::npos);
  out.resize(2);
  const auto wrong_size = read_f32({Dtype::kF32, {3}, bytes}, out);
  CHECK(wrong_size.error() ==
        proto::configuration_error("12 bytes of F32 are not 2 elements"));
}

TEST_CASE("shape_text: long shapes are shortened") {
  CHECK(shape_text(proto::Shape{}) == "[]");
  CHECK(shape_text(proto::Shape{2, 3}) == "[2, 3]");
  CHECK(shape_text(proto::Shape(100, 1)) == "[1, 1, 1, 1, 1, 1, 1, 1, ... 100 in all]");
}

}  // namespace
}  // namespace longhaul::compnode
