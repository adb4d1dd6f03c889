// Low-bit codes, plain and under the Huffman code.
#include "compression/huffman.hpp"
#include "compression/low_bit_codes.hpp"
#include "compression/random.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace longhaul::compression {
namespace {

constexpr unsigned kBits[] = {3, 4, 6, 8};

// Codes of all values, the smaller the more often.
std::vector<std::int8_t> some_codes(std::size_t count, unsigned bits, double sharpness) {
  const HashKey key = hash_key(count);
  std::vector<std::int8_t> codes(count);
  const double limit = static_cast<double>(1 << (bits - 1)) - 1e-9;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t random = hash(key, static_cast<std::uint32_t>(i));
    const double u = (static_cast<double>(random) - 0x1p31) / 0x1p31;
    codes[i] = static_cast<std::int8_t>(
        std::floor(std::copysign(std::pow(std::fabs(u), sharpness), u) * limit));
  }
  return codes;
}

std::vector<std::uint8_t> symbols_of(const std::vector<std::int8_t>& codes, unsigned bits) {
  std::vector<std::uint8_t> symbols(symbol_count(codes.size(), bits));
  codes_to_symbols(codes, bits, symbols.data());
  return symbols;
}

std::vector<std::byte> packed(const std::vector<std::int8_t>& codes, unsigned bits) {
  const auto symbols = symbols_of(codes, bits);
  const Frequencies frequencies = count_symbols(symbols);
  const WordLengths lengths = word_lengths(frequencies);
  std::vector<std::byte> bytes(packed_bytes(frequencies, lengths, symbol_width(bits)));
  bytes.resize(pack_huffman(symbols, symbol_width(bits), lengths, bytes.data()));
  return bytes;
}

TEST_CASE("codes: plain codes of every width come back, whatever their number") {
  for (const unsigned bits : kBits) {
    CAPTURE(bits);
    for (const std::size_t count : {0, 1, 2, 3, 7, 8, 9, 31, 64, 65, 1001}) {
      CAPTURE(count);
      const auto codes = some_codes(count, bits, 1.0);
      std::vector<std::byte> bytes(plain_code_bytes(count, bits));
      pack_codes(codes, bits, bytes.data());
      std::vector<std::int8_t> back(count, 77);
      unpack_codes(bytes.data(), bits, back);
      CHECK(back == codes);
    }
  }
}

TEST_CASE("codes: plain codes are two's complement, the first one lowest") {
  const std::vector<std::int8_t> codes{1, -1, 2, -4, 3};
  std::vector<std::byte> bytes(2);
  pack_codes(codes, 3, bytes.data());
  // 001, 111, 010, 100, 011 from the lowest bit up.
  const unsigned expected = 0b011'100'010'111'001;
  CHECK(std::to_integer<unsigned>(bytes[0]) == (expected & 0xff));
  CHECK(std::to_integer<unsigned>(bytes[1]) == expected >> 8);
}

TEST_CASE("huffman: codes of any distribution come back") {
  for (const unsigned bits : kBits) {
    CAPTURE(bits);
    for (const std::size_t count : {0, 1, 2, 5, 4095, 4096, 4097, 20'001, 40'000}) {
      CAPTURE(count);
      for (const double sharpness : {0.3, 1.0, 4.0, 200.0}) {
        CAPTURE(sharpness);
        const auto codes = some_codes(count, bits, sharpness);
        const auto bytes = packed(codes, bits);
        std::vector<std::uint8_t> symbols(symbol_count(count, bits));
        REQUIRE(unpack_huffman(bytes, symbol_width(bits), symbols).has_value());
        CHECK(symbols == symbols_of(codes, bits));
        std::vector<std::int8_t> back(count, 77);
        symbols_to_codes(symbols.data(), bits, back);
        CHECK(back == codes);
      }
    }
  }
}

TEST_CASE("huffman: within 1 % of the entropy for four bits") {
  const auto codes = some_codes(1 << 20, 4, 2.0);
  std::vector<double> frequencies(16, 0.0);
  for (const std::int8_t code : codes) ++frequencies[static_cast<std::size_t>(code + 8)];
  double entropy = 0.0;
  for (const double frequency : frequencies) {
    if (frequency == 0.0) continue;
    const double share = frequency / static_cast<double>(codes.size());
    entropy -= share * std::log2(share) * static_cast<double>(codes.size());
  }
  CHECK(8.0 * static_cast<double>(packed(codes, 4).size()) < 1.01 * entropy);
}

TEST_CASE("huffman: no word is longer than 12 bits, however rare its code") {
  Frequencies fibonacci{};
  std::uint32_t a = 1;
  std::uint32_t b = 1;
  for (std::size_t code = 0; code < 40; ++code) {
    fibonacci[code] = a;
    b += a;
    std::swap(a, b);
  }
  const WordLengths lengths = word_lengths(fibonacci);
  double sum = 0.0;
  for (std::size_t code = 0; code < 40; ++code) {
    CHECK(lengths[code] >= 1);
    CHECK(lengths[code] <= kLongestWord);
    sum += std::pow(2.0, -lengths[code]);
  }
  CHECK(sum <= 1.0);
}

TEST_CASE("huffman: equal weights are joined in the order that format.md gives") {
  Frequencies frequencies{};
  for (const std::size_t code : {0, 1, 2}) frequencies[code] = 5;
  const WordLengths three = word_lengths(frequencies);
  CHECK(three[0] == 2);
  CHECK(three[1] == 2);
  CHECK(three[2] == 1);
  frequencies = {};
  frequencies[9] = 3;
  CHECK(word_lengths(frequencies)[9] == 1);
}

TEST_CASE("huffman: foreign bytes of the wrong form are refused with the reason") {
  const auto codes = some_codes(5000, 4, 1.5);
  const auto good = packed(codes, 4);
  std::vector<std::uint8_t> out(symbol_count(codes.size(), 4));
  const auto refusal = [&](std::vector<std::byte> bytes) {
    const auto done = unpack_huffman(bytes, 8, out);
    return done.has_error() ? done.error().message : "accepted";
  };
  CHECK(refusal({}).find("less than their header") != std::string::npos);
  auto bad = good;
  bad[0] = std::byte{0xdd};
  CHECK(refusal(bad).find("longer than 12") != std::string::npos);
  bad[0] = std::byte{0x11};
  bad[1] = std::byte{0x11};
  CHECK(refusal(bad).find("overlap") != std::string::npos);
  bad = good;
  bad.push_back(std::byte{0});
  CHECK(refusal(bad).find("after their last chunk") != std::string::npos);
  for (std::size_t length = 0; length < good.size(); length += 7) {
    CHECK(refusal({good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length)}) !=
          "accepted");
  }
  bad = good;
  for (std::size_t i = 0; i < 128; ++i) bad[i] = std::byte{0};
  CHECK(refusal(bad).find("is broken") != std::string::npos);
}

}  // namespace
}  // namespace longhaul::compression
