// Eight codes at a time, as the bytes of one 64-bit word that are moved together in three steps.
#include "compression/low_bit_codes.hpp"

#include "compression/buffer.hpp"

#include <algorithm>
#include <cstring>

namespace longhaul::compression {
namespace {

constexpr std::uint64_t repeat(std::uint64_t bits, unsigned every) {
  std::uint64_t word = 0;
  for (unsigned at = 0; at < 64; at += every) word |= bits << at;
  return word;
}

template <unsigned kBits>
constexpr std::uint64_t kOnes = (std::uint64_t{1} << kBits) - 1;

// In each field of 2 * kWide bits: the kNarrow bits at kWide down to kNarrow, beside the lower
// ones.
template <unsigned kNarrow, unsigned kWide>
std::uint64_t close_gaps(std::uint64_t x) {
  constexpr std::uint64_t kLower = repeat(kOnes<kNarrow>, 2 * kWide);
  return (x & kLower) | (x >> (kWide - kNarrow) & kLower << kNarrow);
}

template <unsigned kNarrow, unsigned kWide>
std::uint64_t open_gaps(std::uint64_t x) {
  constexpr std::uint64_t kLower = repeat(kOnes<kNarrow>, 2 * kWide);
  return (x & kLower) | (x << (kWide - kNarrow) & kLower << kWide);
}

// Eight bytes, of which the lower kBits count, to 8 kBits in the lower part of the word.
template <unsigned kBits>
std::uint64_t join(std::uint64_t x) {
  x = close_gaps<kBits, 8>(x);
  x = close_gaps<2 * kBits, 16>(x);
  return close_gaps<4 * kBits, 32>(x);
}

// The way back, with the sign of each code in the whole of its byte.
template <unsigned kBits>
std::uint64_t part(std::uint64_t x) {
  x = open_gaps<4 * kBits, 32>(x);
  x = open_gaps<2 * kBits, 16>(x);
  x = open_gaps<kBits, 8>(x);
  // The sign of each byte's kBits: flipped and subtracted, no borrow leaves a byte whose top bit is
  // set first.
  constexpr std::uint64_t kSign = repeat(std::uint64_t{1} << (kBits - 1), 8);
  constexpr std::uint64_t kTop = repeat(0x80, 8);
  return (((x ^ kSign) | kTop) - kSign) ^ kTop;
}

template <unsigned kBits>
void pack(std::span<const std::int8_t> codes, std::byte* to) {
  std::size_t i = 0;
  for (; i + 8 <= codes.size(); i += 8, to += kBits) {
    std::uint64_t word = 0;
    std::memcpy(&word, codes.data() + i, 8);
    word = join<kBits>(word);
    std::memcpy(to, &word, kBits);
  }
  if (i == codes.size()) return;
  std::uint64_t word = 0;
  std::memcpy(&word, codes.data() + i, codes.size() - i);
  word = join<kBits>(word);
  std::memcpy(to, &word, plain_code_bytes(codes.size() - i, kBits));
}

template <unsigned kBits>
void unpack(const std::byte* from, std::span<std::int8_t> codes) {
  std::size_t i = 0;
  for (; i + 8 <= codes.size(); i += 8, from += kBits) {
    std::uint64_t word = 0;
    std::memcpy(&word, from, kBits);
    word = part<kBits>(word);
    std::memcpy(codes.data() + i, &word, 8);
  }
  if (i == codes.size()) return;
  std::uint64_t word = 0;
  std::memcpy(&word, from, plain_code_bytes(codes.size() - i, kBits));
  word = part<kBits>(word);
  std::memcpy(codes.data() + i, &word, codes.size() - i);
}

}  // namespace

void pack_codes(std::span<const std::int8_t> codes, unsigned bits, std::byte* to) {
  switch (bits) {
    case 3:
      return pack<3>(codes, to);
    case 4:
      return pack<4>(codes, to);
    case 6:
      return pack<6>(codes, to);
    case 8:
      copy_bytes(to, codes.data(), codes.size());
  }
}

void unpack_codes(const std::byte* from, unsigned bits, std::span<std::int8_t> codes) {
  switch (bits) {
    case 3:
      return unpack<3>(from, codes);
    case 4:
      return unpack<4>(from, codes);
    case 6:
      return unpack<6>(from, codes);
    case 8:
      copy_bytes(codes.data(), from, codes.size());
  }
}

void codes_to_symbols(std::span<const std::int8_t> codes, unsigned bits, std::uint8_t* symbols) {
  switch (bits) {
    case 3:
      for (std::size_t i = 0; i + 2 <= codes.size(); i += 2) {
        *symbols++ = static_cast<std::uint8_t>((codes[i] & 7) | (codes[i + 1] & 7) << 3);
      }
      if (codes.size() % 2 != 0) *symbols = static_cast<std::uint8_t>(codes.back() & 7);
      return;
    case 6:
      for (const std::int8_t code : codes) *symbols++ = static_cast<std::uint8_t>(code & 63);
      return;
    case 4:
    case 8:
      return pack_codes(codes, bits, reinterpret_cast<std::byte*>(symbols));
  }
}

void symbols_to_codes(const std::uint8_t* symbols, unsigned bits, std::span<std::int8_t> codes) {
  const auto extended = [](unsigned code, unsigned sign) {
    return static_cast<std::int8_t>(static_cast<int>(code ^ sign) - static_cast<int>(sign));
  };
  switch (bits) {
    case 3:
      for (std::size_t i = 0; i < codes.size(); ++i) {
        codes[i] = extended(symbols[i / 2] >> (i % 2 * 3) & 7U, 4);
      }
      return;
    case 6:
      for (std::int8_t& code : codes) code = extended(*symbols++ & 63U, 32);
      return;
    case 4:
    case 8:
      return unpack_codes(reinterpret_cast<const std::byte*>(symbols), bits, codes);
  }
}

}  // namespace longhaul::compression
