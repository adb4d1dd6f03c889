// The codecs: what they keep, what they refuse, and how long their payloads are.
#include "compression/codec.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace longhaul::compression {
namespace {

using Integers = std::vector<std::int64_t>;
constexpr std::int64_t kLargest = std::numeric_limits<std::int64_t>::max();

std::vector<std::byte> bytes(std::initializer_list<int> values) {
  std::vector<std::byte> out;
  for (const int value : values) out.push_back(static_cast<std::byte>(value));
  return out;
}

Result<Integers> decode(std::span<const std::byte> payload, std::size_t count) {
  Integers out(count, -1);
  const auto decoded = decode_integers(payload, out);
  if (decoded.has_error()) return decoded.error();
  return out;
}

std::string refusal(std::span<const std::byte> payload, std::size_t count) {
  const auto decoded = decode(payload, count);
  return decoded.has_error() ? decoded.error().message : "accepted";
}

TEST_CASE("integers: round trips of random values, at every width, bounded in length") {
  const auto seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937_64 random(seed);
  for (int round = 0; round < 200; ++round) {
    const int bits = static_cast<int>(random() % 64);
    const auto mask = (std::uint64_t{1} << bits) - 1;  // bits == 0: only zeros
    Integers values(random() % 2000);
    for (auto& value : values) value = static_cast<std::int64_t>(random() & mask);
    const auto payload = encode_integers(values);
    REQUIRE(payload.has_value());
    const std::size_t width = std::to_integer<std::size_t>(payload.value()[0]);
    REQUIRE(payload.value().size() <= 2 + values.size() * width);
    const auto decoded = decode(payload.value(), values.size());
    REQUIRE(decoded.has_value());
    REQUIRE(decoded.value() == values);
  }
}

TEST_CASE("integers: the width is the smallest that holds the largest value") {
  const std::pair<std::int64_t, int> widths[] = {
      {0, 1},          {0xff, 1},       {0x100, 2},      {50256, 2},  {0xffff, 2},
      {0x10000, 4},    {0xffffffff, 4}, {0x100000000, 8}, {kLargest, 8}};
  for (const auto& [value, width] : widths) {
    CAPTURE(value);
    const auto payload = encode_integers(Integers{0, value, 1});
    REQUIRE(payload.has_value());
    CHECK(std::to_integer<int>(payload.value()[0]) == width);
    CHECK(decode(payload.value(), 3).value() == Integers{0, value, 1});
  }
}

TEST_CASE("integers: no values are a header alone") {
  const auto payload = encode_integers({});
  REQUIRE(payload.has_value());
  CHECK(payload.value() == bytes({1, 0}));
  CHECK(decode(payload.value(), 0).has_value());
}

TEST_CASE("integers: repetitive values are packed, and shorter for it") {
  const auto payload = encode_integers(Integers(10'000, 50256));
  REQUIRE(payload.has_value());
  CHECK(payload.value()[1] == std::byte{1});
  CHECK(payload.value().size() < 100);
  CHECK(decode(payload.value(), 10'000).value() == Integers(10'000, 50256));
}

TEST_CASE("integers: a negative value is refused and named") {
  const auto encoded = encode_integers(Integers{5, 6, -7});
  REQUIRE(encoded.has_error());
  CHECK(encoded.error().message == "value -7 at position 2 is negative");
  CHECK(encode_integers(Integers{std::numeric_limits<std::int64_t>::min()}).has_error());
}

TEST_CASE("integers: foreign bytes of the wrong form are refused with the reason") {
  CHECK(refusal({}, 1).find("less than its header") != std::string::npos);
  CHECK(refusal(bytes({1}), 1).find("less than its header") != std::string::npos);
  for (const int width : {0, 3, 5, 7, 9, 16, 255}) {
    CAPTURE(width);
    CHECK(refusal(bytes({width, 0, 1}), 1).find("has width") != std::string::npos);
  }
  CHECK(refusal(bytes({1, 2, 0}), 1).find("packing 2") != std::string::npos);
  CHECK(refusal(bytes({1, 1, 0, 0}), 1).find("zstd says") != std::string::npos);
  CHECK(refusal(bytes({8, 0, 0, 0, 0, 0, 0, 0, 0, 0x80}), 1).find("2^63") != std::string::npos);
}

TEST_CASE("integers: one value too many or too few is refused, raw and packed") {
  for (const Integers& values : {Integers{1, 2, 3}, Integers(1000, 3)}) {
    const auto payload = encode_integers(values).value();
    CHECK(decode(payload, values.size()).has_value());
    CHECK(decode(payload, values.size() + 1).has_error());
    CHECK(decode(payload, values.size() - 1).has_error());
    CHECK(decode(payload, 0).has_error());
  }
}

TEST_CASE("integers: a payload that would unpack to far more than was announced is refused") {
  const auto bomb = encode_integers(Integers(std::size_t{1} << 22, 0)).value();
  REQUIRE(bomb.size() < 1000);
  CHECK(refusal(bomb, 16).find("does not unpack to 16 bytes") != std::string::npos);
}

TEST_CASE("integers: every truncation of a packed payload is refused") {
  const auto payload = encode_integers(Integers(500, 9)).value();
  REQUIRE(payload[1] == std::byte{1});
  for (std::size_t length = 0; length < payload.size(); ++length) {
    CAPTURE(length);
    CHECK(decode(std::span(payload).first(length), 500).has_error());
  }
}

TEST_CASE("dense: the payload holds exactly the elements of the shape") {
  CHECK(check_dense(Codec::kDenseFp32, {.elements = 6, .payload_bytes = 24}).has_value());
  CHECK(check_dense(Codec::kDenseBf16, {.elements = 6, .payload_bytes = 12}).has_value());
  CHECK(check_dense(Codec::kDenseFp32, {.elements = 0, .payload_bytes = 0}).has_value());
  CHECK(check_dense(Codec::kDenseFp32, {.elements = 6, .payload_bytes = 12}).has_error());
  CHECK(check_dense(Codec::kDenseFp32, {.elements = 6, .payload_bytes = 25}).has_error());
  CHECK(check_dense(Codec::kDenseBf16, {.elements = 6, .payload_bytes = 13}).has_error());
  CHECK(check_dense(Codec::kIntegers, {.elements = 6, .payload_bytes = 48}).has_error());
  // 4 * 2^62 overflows to 0.
  CHECK(check_dense(Codec::kDenseFp32, {.elements = std::size_t{1} << 62, .payload_bytes = 0})
            .has_error());
}

TEST_CASE("codec: numbers are known or refused") {
  CHECK(codec_from_number(0).value() == Codec::kDenseFp32);
  CHECK(codec_from_number(1).value() == Codec::kDenseBf16);
  CHECK(codec_from_number(2).value() == Codec::kIntegers);
  CHECK(codec_from_number(6).value() == Codec::kIndexed);
  for (const std::uint32_t number : {7u, 255u, 0xffffffffu}) {
    CAPTURE(number);
    CHECK(codec_from_number(number).has_error());
  }
}

}  // namespace
}  // namespace longhaul::compression
