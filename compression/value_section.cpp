// The one writer and the one reader of value sections.
#include "compression/value_section.hpp"

#include "compression/huffman.hpp"
#include "compression/low_bit_codes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace longhaul::compression {
namespace {

constexpr std::uint32_t kInfinity = 0x7f800000;

std::size_t scale_count(std::size_t count, std::size_t block) {
  return (count + block - 1) / block;
}

std::size_t scale_bytes(std::size_t count, std::size_t block) {
  return (2 * scale_count(count, block) + 3) / 4 * 4;
}

const std::uint32_t* rotation_signs(const ValueLayout& layout, std::uint32_t seed,
                                    Workspace::Memory& memory) {
  if (!layout.rotated) return nullptr;
  const HashKey key = hash_key(seed);
  for (std::uint32_t j = 0; j < layout.block; ++j) memory.signs[j] = hash(key, j) & 0x80000000U;
  return memory.signs.data();
}

// fp32 and bf16, in pieces, so that each is in the cache for what is measured of it.
WrittenValues write_floats(std::span<const float> values, ValueFormat format, std::byte* to,
                           Sums& sums) {
  const bool narrow = format == ValueFormat::kBf16;
  std::uint16_t narrowed[kPiece];
  float lost[kPiece];
  for (std::size_t at = 0; at < values.size(); at += kPiece) {
    const auto piece = values.subspan(at, std::min(kPiece, values.size() - at));
    if (kernels().scan(piece.data(), piece.size(), sums.squares) >= kRefusedMagnitude) {
      return {.refused = at};
    }
    if (!narrow) {
      std::memcpy(to + 4 * at, piece.data(), piece.size_bytes());
      continue;
    }
    narrow_to_bf16(piece, narrowed);
    std::memcpy(to + 2 * at, narrowed, 2 * piece.size());
    widen_from_bf16(narrowed, std::span(lost).first(piece.size()));
    for (std::size_t i = 0; i < piece.size(); ++i) lost[i] -= piece[i];
    kernels().scan(lost, piece.size(), sums.squared_error);
  }
  return {.refused = values.size(), .bytes = values.size() * (narrow ? 2 : 4)};
}

// Packed where that is shorter, else plain codes again; returns the bytes.
std::size_t write_symbols(std::span<const std::uint8_t> symbols, std::size_t count, unsigned bits,
                          std::byte* to) {
  const std::size_t plain = plain_code_bytes(count, bits);
  const Frequencies frequencies = count_symbols(symbols);
  const WordLengths lengths = word_lengths(frequencies);
  if (packed_bytes(frequencies, lengths, symbol_width(bits)) < plain) {
    return pack_huffman(symbols, symbol_width(bits), lengths, to);
  }
  std::int8_t codes[kPiece];
  for (std::size_t at = 0; at < count; at += kPiece) {
    const std::size_t length = std::min(kPiece, count - at);
    symbols_to_codes(symbols.data() + symbol_count(at, bits), bits, {codes, length});
    pack_codes({codes, length}, bits, to + at * bits / 8);
  }
  return plain;
}

WrittenValues write_blocks(std::span<const float> values, const ValueLayout& layout,
                           const WriteOptions& options, Workspace::Memory& memory, std::byte* to,
                           Sums& sums) {
  const unsigned bits = bits_of(layout.format);
  BlockOptions block{.block = layout.block,
                     .largest = (1 << (bits - 1)) - 1,
                     .stochastic = options.stochastic,
                     .key = hash_key(options.key),
                     .signs = rotation_signs(layout, options.seed, memory)};
  auto* const scales = reinterpret_cast<std::uint16_t*>(to);
  const std::size_t scaled = scale_count(values.size(), layout.block);
  if (scaled % 2 != 0) scales[scaled] = 0;
  std::byte* const codes = to + scale_bytes(values.size(), layout.block);
  if (bits == 16) {
    const std::size_t done = kernels().wide.quantise(values.data(), values.size(), block, scales,
                                                     reinterpret_cast<std::int16_t*>(codes), sums);
    return {.refused = done, .bytes = plain_value_bytes(layout, values.size())};
  }
  // Plain codes go out piece by piece; of packed ones all must be known first.
  std::int8_t piece_codes[kPiece];
  auto* const symbols =
      layout.packed ? memory.symbols.resize(symbol_count(values.size(), bits)).data() : nullptr;
  for (std::size_t at = 0; at < values.size(); at += kPiece) {
    const std::size_t length = std::min(kPiece, values.size() - at);
    block.counter = static_cast<std::uint32_t>(at);
    std::int8_t* const here =
        layout.packed || bits != 8 ? piece_codes : reinterpret_cast<std::int8_t*>(codes) + at;
    const std::size_t done = kernels().narrow.quantise(values.data() + at, length, block,
                                                       scales + at / layout.block, here, sums);
    if (done != length) return {.refused = at + done};
    if (layout.packed) {
      codes_to_symbols({here, length}, bits, symbols + symbol_count(at, bits));
    } else if (bits != 8) {
      pack_codes({here, length}, bits, codes + at * bits / 8);
    }
  }
  WrittenValues written{.refused = values.size(),
                        .bytes = plain_value_bytes(layout, values.size())};
  if (layout.packed) {
    const std::size_t plain = plain_code_bytes(values.size(), bits);
    const std::size_t bytes = write_symbols(memory.symbols.span(), values.size(), bits, codes);
    written.packed = bytes < plain;
    written.bytes -= plain - bytes;
  }
  return written;
}

Result<void> read_floats(std::span<const std::byte> section, ValueFormat format,
                         std::span<float> values) {
  if (format == ValueFormat::kFp32) {
    copy_bytes(values.data(), section.data(), section.size());
  } else {
    std::uint16_t narrowed[kPiece];
    for (std::size_t at = 0; at < values.size(); at += kPiece) {
      const auto piece = values.subspan(at, std::min(kPiece, values.size() - at));
      std::memcpy(narrowed, section.data() + 2 * at, 2 * piece.size());
      widen_from_bf16(narrowed, piece);
    }
  }
  for (std::size_t at = 0; at < values.size(); at += kPiece) {
    double ignored = 0.0;
    const std::size_t length = std::min(kPiece, values.size() - at);
    if (kernels().scan(values.data() + at, length, ignored) >= kInfinity) {
      return Error{
          fmt::format("the payload holds a NaN or an infinity among its values from {} on", at)};
    }
  }
  return {};
}

// `body` has as many codes of 16 bits as there are values; it need not be aligned.
void read_wide_codes(std::span<const std::byte> body, std::span<const std::uint16_t> scales,
                     const BlockOptions& block, std::span<float> values) {
  std::int16_t codes[kPiece];
  for (std::size_t at = 0; at < values.size(); at += kPiece) {
    const std::size_t length = std::min(kPiece, values.size() - at);
    std::memcpy(codes, body.data() + 2 * at, 2 * length);
    kernels().wide.dequantise(scales.data() + at / block.block, codes, length, block,
                              values.data() + at);
  }
}

Result<void> read_blocks(std::span<const std::byte> section, const ValueLayout& layout,
                         std::uint32_t seed, Workspace::Memory& memory, std::span<float> values) {
  const unsigned bits = bits_of(layout.format);
  const std::size_t head = scale_bytes(values.size(), layout.block);
  if (section.size() < head) {
    return Error{
        fmt::format("payload has {} bytes of values, less than its scales", section.size())};
  }
  const auto scales = memory.scales.resize(scale_count(values.size(), layout.block));
  copy_bytes(scales.data(), section.data(), scales.size_bytes());
  for (std::size_t i = 0; i < scales.size(); ++i) {
    if (scales[i] > kLargestScale) {
      return Error{fmt::format("the scale of block {} is negative or above 2^104", i)};
    }
  }
  const auto body = section.subspan(head);
  const BlockOptions block{.block = layout.block, .signs = rotation_signs(layout, seed, memory)};
  const std::uint8_t* symbols = nullptr;
  if (layout.packed) {
    const auto all = memory.symbols.resize(symbol_count(values.size(), bits));
    const auto unpacked = unpack_huffman(body, symbol_width(bits), all);
    if (unpacked.has_error()) return unpacked.error();
    symbols = all.data();
  } else if (body.size() != plain_code_bytes(values.size(), bits)) {
    return Error{fmt::format("payload has {} bytes of codes instead of {}", body.size(),
                             plain_code_bytes(values.size(), bits))};
  }
  if (bits == 16) {
    read_wide_codes(body, scales, block, values);
    return {};
  }
  std::int8_t piece_codes[kPiece];
  for (std::size_t at = 0; at < values.size(); at += kPiece) {
    const std::size_t length = std::min(kPiece, values.size() - at);
    const std::int8_t* codes = piece_codes;
    if (layout.packed) {
      symbols_to_codes(symbols + symbol_count(at, bits), bits, {piece_codes, length});
    } else if (bits != 8) {
      unpack_codes(body.data() + at * bits / 8, bits, {piece_codes, length});
    } else {
      codes = reinterpret_cast<const std::int8_t*>(body.data()) + at;
    }
    kernels().narrow.dequantise(scales.data() + at / layout.block, codes, length, block,
                                values.data() + at);
  }
  return {};
}

}  // namespace

std::size_t plain_value_bytes(const ValueLayout& layout, std::size_t count) {
  const unsigned bits = bits_of(layout.format);
  if (!is_integer(layout.format)) return count * bits / 8;
  return scale_bytes(count, layout.block) + plain_code_bytes(count, bits);
}

WrittenValues write_values(std::span<const float> values, const ValueLayout& layout,
                           const WriteOptions& options, Workspace::Memory& memory, std::byte* to,
                           Sums& sums) {
  if (!is_integer(layout.format)) return write_floats(values, layout.format, to, sums);
  return write_blocks(values, layout, options, memory, to, sums);
}

Result<void> read_values(std::span<const std::byte> section, const ValueLayout& layout,
                         std::uint32_t seed, Workspace::Memory& memory, std::span<float> values) {
  if (is_integer(layout.format)) return read_blocks(section, layout, seed, memory, values);
  if (section.size() != plain_value_bytes(layout, values.size())) {
    return Error{fmt::format("payload has {} bytes of values instead of {}", section.size(),
                             plain_value_bytes(layout, values.size()))};
  }
  return read_floats(section, layout.format, values);
}

void narrow_to_bf16(std::span<const float> values, std::uint16_t* to) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const auto bits = std::bit_cast<std::uint32_t>(values[i]);
    to[i] = static_cast<std::uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
  }
}

void widen_from_bf16(const std::uint16_t* from, std::span<float> values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = std::bit_cast<float>(static_cast<std::uint32_t>(from[i]) << 16);
  }
}

}  // namespace longhaul::compression
