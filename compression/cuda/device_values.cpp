// Value sections on a device: which kernels run in which order, and what the host decides between.
#include "compression/cuda/device_section.hpp"
#include "compression/cuda/huffman_words.hpp"
#include "compression/low_bit_codes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace longhaul::compression::cuda {
namespace {

std::size_t scale_count(std::size_t count, std::size_t block) {
  return (count + block - 1) / block;
}

std::size_t padded_to_4(std::size_t bytes) { return (bytes + 3) / 4 * 4; }

BlockLayout block_layout(const ValueLayout& layout, const WriteOptions& options) {
  return {.bits = bits_of(layout.format),
          .block = static_cast<unsigned>(layout.block),
          .stochastic = options.stochastic,
          .rotated = layout.rotated,
          .key = hash_key(options.key),
          .sign_key = hash_key(options.seed)};
}

// One after the other, as the format has it. A chain of additions, which a host's core is faster at
// than a device's.
double sum_of(const DeviceBuffer<double>& terms) {
  std::vector<double> values(terms.size());
  terms.download_to(values);
  double sum = 0.0;
  for (const double value : values) sum += value;
  return sum;
}

// Whether packing pays; sets bytes, packed and lengths.
void pack(std::size_t count, unsigned bits, DeviceMemory& memory, PreparedValues& prepared) {
  const auto symbols = static_cast<uint32_t>(symbol_count(count, bits));
  const unsigned width = symbol_width(bits);
  fill(memory.frequencies.resize(256), 256, 0);
  count_symbols(memory.codes.in(), symbols, memory.frequencies.out());
  Frequencies frequencies{};
  memory.frequencies.download_to(frequencies);
  prepared.lengths = word_lengths(frequencies);
  const std::size_t plain = plain_code_bytes(count, bits);
  if (packed_bytes(frequencies, prepared.lengths, width) >= plain) return;
  prepared.packed = true;
  const auto table = canonical_words(prepared.lengths);  // of our own lengths: none overlap
  const std::size_t chunks = pieces_of(symbols, kHuffmanChunk);
  HuffmanWriter writer{.symbols = memory.codes.in(),
                       .count = symbols,
                       .table = memory.huffman_table.assign(*table),
                       .chunk_bytes = memory.chunk_bytes.resize(chunks),
                       .offsets = nullptr,
                       .words = nullptr};
  measure_chunks(writer);
  prefix_sums(memory.chunk_bytes.in(), chunks, memory.chunk_sums,
              memory.chunk_offsets.resize(chunks + 1));
  prepared.packed_bytes = memory.chunk_offsets.at(chunks);
  const std::size_t words = pieces_of(prepared.packed_bytes, 4);
  writer.offsets = memory.chunk_offsets.in();
  writer.words = memory.packed.resize(words);
  fill(writer.words, words, 0);
  write_chunks(writer);
  prepared.bytes += (std::size_t{1} << (width - 1)) + 2 * chunks + prepared.packed_bytes - plain;
}

PreparedValues prepare_blocks(In<float> values, std::size_t count, const ValueLayout& layout,
                              const WriteOptions& options, DeviceMemory& memory) {
  const unsigned bits = bits_of(layout.format);
  const std::size_t blocks = scale_count(count, layout.block);
  QuantiseTask task{.values = values,
                    .count = static_cast<uint32_t>(count),
                    .layout = block_layout(layout, options),
                    .scales = memory.scales.resize(blocks),
                    .words = memory.codes.resize(code_words(count, bits, layout.packed)),
                    .symbols = layout.packed,
                    .errors = memory.terms.resize(blocks),
                    .squares = memory.other_terms.resize(blocks),
                    .refused = memory.refused.out()};
  quantise(task);
  PreparedValues prepared{.refused = first_refusal(memory)};
  if (prepared.refused != kNoPosition) return prepared;
  prepared.sums = {.squared_error = sum_of(memory.terms), .squares = sum_of(memory.other_terms)};
  prepared.bytes = plain_value_bytes(layout, count);
  if (!layout.packed) return prepared;
  pack(count, bits, memory, prepared);
  if (!prepared.packed && (bits == 6 || bits == 3)) {  // seldom: once more, to plain codes
    task.symbols = false;
    task.words = memory.codes.resize(code_words(count, bits, false));
    quantise(task);
  }
  return prepared;
}

void copy_packed(const PreparedValues& prepared, unsigned bits, const DeviceMemory& memory,
                 std::byte* to) {
  for (std::size_t symbol = 0; symbol < std::size_t{1} << symbol_width(bits); symbol += 2) {
    *to++ = static_cast<std::byte>(prepared.lengths[symbol] | prepared.lengths[symbol + 1] << 4);
  }
  std::vector<uint32_t> chunk_bytes(memory.chunk_bytes.size());
  memory.chunk_bytes.download_to(chunk_bytes);
  for (const uint32_t bytes : chunk_bytes) {
    const auto narrow = static_cast<uint16_t>(bytes);
    std::memcpy(to, &narrow, 2);
    to += 2;
  }
  download_bytes(memory.packed.in(), {to, prepared.packed_bytes});
}

// Foreign packed codes to memory.codes, as symbols.
Result<void> unpack(std::span<const std::byte> section, unsigned bits, std::size_t count,
                    DeviceMemory& memory) {
  const auto symbols = static_cast<uint32_t>(symbol_count(count, bits));
  const std::size_t table_bytes = std::size_t{1} << (symbol_width(bits) - 1);
  const std::size_t chunks = pieces_of(symbols, kHuffmanChunk);
  if (section.size() < table_bytes + 2 * chunks) {
    return Error{fmt::format("packed codes have {} bytes, less than their header", section.size())};
  }
  WordLengths lengths{};
  for (std::size_t i = 0; i < table_bytes; ++i) {
    lengths[2 * i] = std::to_integer<uint8_t>(section[i] & std::byte{15});
    lengths[2 * i + 1] = std::to_integer<uint8_t>(section[i] >> 4);
  }
  if (std::ranges::max(lengths) > kLongestWord) {
    return Error{fmt::format("a word of packed codes is longer than {} bits", kLongestWord)};
  }
  const auto words = canonical_words(lengths);
  if (!words.has_value()) return Error{"the words of packed codes overlap"};
  std::vector<uint64_t> offsets(chunks + 1);
  for (std::size_t chunk = 0; chunk < chunks; ++chunk) {
    uint16_t bytes = 0;
    std::memcpy(&bytes, section.data() + table_bytes + 2 * chunk, 2);
    offsets[chunk + 1] = offsets[chunk] + bytes;
  }
  const auto body = section.subspan(table_bytes + 2 * chunks);
  if (offsets.back() != body.size()) {
    return Error{fmt::format("packed codes have {} bytes in chunks that say {}", body.size(),
                             offsets.back())};
  }
  expect_no_refusal(memory);
  read_chunks({.table = memory.huffman_table.assign(decoding_table(*words)),
               .offsets = memory.chunk_offsets.assign(offsets),
               .words = memory.packed.assign_bytes(body),
               .count = symbols,
               .symbols = memory.codes.resize(in_fours(code_words(count, bits, true))),
               .refused = memory.refused.out()});
  if (const uint32_t chunk = first_refusal(memory); chunk != kNoPosition) {
    return Error{fmt::format("chunk {} of packed codes is broken", chunk)};
  }
  return {};
}

Result<void> read_blocks(std::span<const std::byte> section, const ValueLayout& layout,
                         uint32_t seed, DeviceMemory& memory, Out<float> values,
                         std::size_t count) {
  const unsigned bits = bits_of(layout.format);
  const std::size_t blocks = scale_count(count, layout.block);
  if (section.size() < padded_to_4(2 * blocks)) {
    return Error{
        fmt::format("payload has {} bytes of values, less than its scales", section.size())};
  }
  const auto body = section.subspan(padded_to_4(2 * blocks));
  DequantiseTask task{.scales = memory.scales.assign_bytes(section.first(2 * blocks)),
                      .words = nullptr,
                      .symbols = layout.packed,
                      .count = static_cast<uint32_t>(count),
                      .layout = block_layout(layout, {.seed = seed}),
                      .values = values,
                      .refused = nullptr};
  if (layout.packed) {
    if (auto done = unpack(body, bits, count, memory); done.has_error()) return done;
    task.words = memory.codes.in();
  } else {
    if (body.size() != plain_code_bytes(count, bits)) {
      return Error{fmt::format("payload has {} bytes of codes instead of {}", body.size(),
                               plain_code_bytes(count, bits))};
    }
    task.words = memory.codes.assign_bytes(body);
  }
  expect_no_refusal(memory);
  task.refused = memory.refused.out();
  dequantise(task);
  if (const uint32_t block = first_refusal(memory); block != kNoPosition) {
    return Error{fmt::format("the scale of block {} is negative or above 2^104", block)};
  }
  return {};
}

}  // namespace

void expect_no_refusal(DeviceMemory& memory) { fill(memory.refused.resize(1), 1, kNoPosition); }

uint32_t first_refusal(const DeviceMemory& memory) { return memory.refused.at(0); }

double sum_of_squares(In<float> values, uint32_t rows, uint32_t columns, Measured measured,
                      DeviceMemory& memory) {
  scan({.values = values,
        .rows = rows,
        .columns = columns,
        .measured = measured,
        .squares = memory.terms.resize(scan_pieces(rows, columns)),
        .refused = memory.refused.out()});
  return sum_of(memory.terms);
}

PreparedValues prepare_values(In<float> values, std::size_t count, const ValueLayout& layout,
                              const WriteOptions& options, DeviceMemory& memory) {
  expect_no_refusal(memory);
  if (is_integer(layout.format)) return prepare_blocks(values, count, layout, options, memory);
  const auto columns = static_cast<uint32_t>(count);
  PreparedValues prepared{.bytes = plain_value_bytes(layout, count)};
  prepared.sums.squares = sum_of_squares(values, 1, columns, Measured::kValues, memory);
  prepared.refused = first_refusal(memory);
  if (layout.format == ValueFormat::kFp32 || prepared.refused != kNoPosition) return prepared;
  prepared.sums.squared_error = sum_of_squares(values, 1, columns, Measured::kLossAsBf16, memory);
  narrow_to_bf16(values, count, memory.narrowed.resize(count));
  return prepared;
}

void copy_values(const PreparedValues& prepared, In<float> values, std::size_t count,
                 const ValueLayout& layout, const DeviceMemory& memory, std::byte* to) {
  if (layout.format == ValueFormat::kFp32) {
    download<float>(values, {reinterpret_cast<float*>(to), count});
  } else if (layout.format == ValueFormat::kBf16) {
    memory.narrowed.download_to({reinterpret_cast<uint16_t*>(to), count});
  } else {
    const unsigned bits = bits_of(layout.format);
    const std::size_t scales = memory.scales.size();
    memory.scales.download_to({reinterpret_cast<uint16_t*>(to), scales});
    std::byte* const codes = to + padded_to_4(2 * scales);
    std::fill(to + 2 * scales, codes, std::byte{0});
    if (prepared.packed) {
      copy_packed(prepared, bits, memory, codes);
    } else {
      download_bytes(memory.codes.in(), {codes, plain_code_bytes(count, bits)});
    }
  }
}

Result<void> read_section(std::span<const std::byte> section, const ValueLayout& layout,
                          uint32_t seed, DeviceMemory& memory, Out<float> values,
                          std::size_t count) {
  if (is_integer(layout.format)) {
    return read_blocks(section, layout, seed, memory, values, count);
  }
  if (section.size() != plain_value_bytes(layout, count)) {
    return Error{fmt::format("payload has {} bytes of values instead of {}", section.size(),
                             plain_value_bytes(layout, count))};
  }
  if (layout.format == ValueFormat::kFp32) {
    upload_bytes<float>(section, values);
  } else {
    widen_from_bf16(memory.narrowed.assign_bytes(section), count, values);
  }
  expect_no_refusal(memory);
  find_not_finite(values, count, memory.refused.out());
  if (const uint32_t at = first_refusal(memory); at != kNoPosition) {
    return Error{fmt::format("the payload holds a NaN or an infinity as its value {}", at)};
  }
  return {};
}

}  // namespace longhaul::compression::cuda
