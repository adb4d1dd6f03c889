// The kernels' host side: what each computes, from and to memory of the device.
// All run in the thread's current_stream and return at once; counts are below 2^31. Pointers are of
// the device. Where a count is 0 nothing is launched and nothing written, unless it says otherwise.
#pragma once

#include "compression/cuda/device_buffer.hpp"
#include "compression/cuda/device_language.hpp"
#include "compression/low_bit_codes.hpp"
#include "compression/random.hpp"

#include <cstddef>
#include <cstdint>

namespace longhaul::compression::cuda {

using std::uint16_t, std::uint32_t, std::uint64_t, std::uint8_t;

inline constexpr uint32_t kNoPosition = 0xffffffffU;  // of a refused value: there is none

// --- block_quantiser.cu -----------------------------------------------------------------------

struct BlockLayout {
  unsigned bits = 8;     // 16, 8, 6, 4 or 3
  unsigned block = 128;  // 32, 64, 128 or 256
  bool stochastic = false;
  bool rotated = false;
  HashKey key = {};       // of stochastic rounding
  HashKey sign_key = {};  // of rotation
};

// Words of `count` codes: plain, or as symbols of packed codes, a byte each.
constexpr std::size_t code_words(std::size_t count, unsigned bits, bool symbols) {
  return symbols ? (symbol_count(count, bits) + 3) / 4 : (count * bits + 31) / 32;
}

struct QuantiseTask {
  In<float> values;
  uint32_t count = 0;
  BlockLayout layout;
  Out<uint16_t> scales;  // one a block
  Out<uint32_t> words;   // code_words(); unused bits become zero
  bool symbols = false;
  Out<double> errors;  // one a block: the sums that distortion is made of
  Out<double> squares;
  Out<uint32_t> refused;  // becomes the lowest position of a refused value, if that is lower
};
void quantise(const QuantiseTask& task);

struct DequantiseTask {
  In<uint16_t> scales;
  In<uint32_t> words;  // code_words()
  bool symbols = false;
  uint32_t count = 0;
  BlockLayout layout;
  Out<float> values;
  Out<uint32_t> refused;  // becomes the lowest block whose scale is negative or above 2^104
};
void dequantise(const DequantiseTask& task);

// --- sums.cu ----------------------------------------------------------------------------------

enum class Measured : uint8_t { kValues, kLossAsBf16 };

// A piece is 4096 values of a row, the last of a row what is left; a tensor may be one row.
struct ScanTask {
  In<float> values;
  uint32_t rows = 1;
  uint32_t columns = 0;
  Measured measured = Measured::kValues;
  Out<double> squares;    // one a piece
  Out<uint32_t> refused;  // as in QuantiseTask
};
[[nodiscard]] std::size_t scan_pieces(uint32_t rows, uint32_t columns);
void scan(const ScanTask& task);

// --- values.cu --------------------------------------------------------------------------------

void fill(Out<uint32_t> words, std::size_t count, uint32_t value);
void fill_zero(Out<float> values, std::size_t count);
// to[i] = values[mask[i]], and to[mask[i]] = values[i]; entries of a mask differ.
void gather(In<float> values, In<uint32_t> mask, std::size_t count, Out<float> to);
void scatter(In<float> values, In<uint32_t> mask, std::size_t count, Out<float> to);
void narrow_to_bf16(In<float> values, std::size_t count, Out<uint16_t> to);
void widen_from_bf16(In<uint16_t> values, std::size_t count, Out<float> to);
// Becomes the lowest position whose value is NaN or infinite.
void find_not_finite(In<float> values, std::size_t count, Out<uint32_t> refused);

// --- prefix_sum.cu ----------------------------------------------------------------------------

// sums[i] = counts[0] + ... + counts[i - 1], for i = 0 ... count: one more than counts.
void prefix_sums(In<uint32_t> counts, std::size_t count, DeviceBuffer<uint64_t>& chunks,
                 Out<uint64_t> sums);

// --- top_k.cu ---------------------------------------------------------------------------------

// Kept are the magnitudes above `magnitudes`, and those equal up to position `cuts` (row-major).
struct Kept {
  In<float> values;
  In<uint32_t> magnitudes;  // one a row if per_row, else one
  In<uint32_t> cuts;
  uint32_t rows = 1;
  uint32_t columns = 0;
  bool per_row = false;
};

struct SelectMemory {
  DeviceBuffer<uint32_t> bins, state, chunk_ties;
  DeviceBuffer<uint64_t> chunk_sums, ties_before;
};
// The k largest magnitudes, 1 <= k <= columns, of each row, or of all values.
void select_per_row(In<float> values, uint32_t rows, uint32_t columns, uint32_t k,
                    Out<uint32_t> magnitudes, Out<uint32_t> cuts);
void select_global(In<float> values, std::size_t count, uint32_t k, SelectMemory& memory,
                   Out<uint32_t> magnitudes, Out<uint32_t> cuts);

// --- compaction.cu ----------------------------------------------------------------------------

struct CompactionMemory {
  DeviceBuffer<uint32_t> counts;
  DeviceBuffer<uint64_t> chunk_sums, offsets;
};
// Row-major positions, ascending; of one row, or kept of the whole tensor.
void compact(const Kept& kept, CompactionMemory& memory, Out<uint32_t> positions);
// Positions and places in mask order.
void to_mask_order(const Kept& kept, CompactionMemory& memory, Out<uint32_t> mask,
                   Out<uint32_t> places);

// --- golomb.cu --------------------------------------------------------------------------------

inline constexpr std::size_t kGolombGroup = 2048;
inline constexpr std::size_t kGolombFine = 64;

struct GolombPlan {
  In<uint32_t> places;  // ascending
  uint32_t count = 0;
  Out<uint8_t> coarse;  // a parameter a group
  Out<uint8_t> fine;    // a parameter for each 64 gaps
  Out<uint32_t> coarse_bytes, fine_bytes;
};
void plan_golomb(const GolombPlan& plan);

struct GolombWriter {
  In<uint32_t> places;
  uint32_t count = 0;
  uint32_t subgroup = 0;  // 2048 or 64
  In<uint8_t> parameters;
  In<uint64_t> offsets;  // of each group's first byte
  Out<uint32_t> words;   // the groups' bytes; zero before
};
void write_golomb(const GolombWriter& writer);

struct GolombReader {
  In<uint8_t> parameters;
  uint32_t count = 0;
  uint32_t subgroup = 0;
  In<uint64_t> offsets;  // one more than groups
  In<uint32_t> words;    // the groups' bytes
  uint32_t rows = 1;
  uint32_t columns = 0;
  Out<uint32_t> steps;    // gap + 1, at most 2^31: in_fours(count), memory for what follows
  Out<uint32_t> mask;     // positions in mask order
  Out<uint32_t> refused;  // becomes the lowest group that is broken, or entry that is outside
};
// A group's bytes hold exactly its gaps; afterwards prefix_sums() of `steps` are places + 1.
void read_golomb(const GolombReader& reader);
// From these sums (count + 1) to `mask`.
void places_to_positions(const GolombReader& reader, In<uint64_t> sums);

// --- huffman.cu -------------------------------------------------------------------------------

// Symbols are bytes, four a word; those of 4-bit and 3-bit codes are pairs.

// How often each symbol occurs: adds to 256 counters.
void count_symbols(In<uint32_t> symbols, uint32_t count, Out<uint32_t> frequencies);

struct HuffmanWriter {
  In<uint32_t> symbols;
  uint32_t count = 0;         // of symbols
  In<uint32_t> table;         // 256: the word, first bit lowest, and its length from bit 16 on
  Out<uint32_t> chunk_bytes;  // written by measure_chunks()
  In<uint64_t> offsets;       // of each chunk's first byte
  Out<uint32_t> words;        // the chunks' bytes; zero before
};
void measure_chunks(const HuffmanWriter& writer);
void write_chunks(const HuffmanWriter& writer);

struct HuffmanReader {
  // 4096, two a word: what 12 bits begin with, symbol in the upper byte, length; 0: nothing.
  In<uint32_t> table;
  In<uint64_t> offsets;   // one more than chunks
  In<uint32_t> words;     // the chunks' bytes
  uint32_t count = 0;     // of symbols
  Out<uint32_t> symbols;  // in_fours() of their words
  Out<uint32_t> refused;  // becomes the lowest chunk that is broken
};
void read_chunks(const HuffmanReader& reader);

}  // namespace longhaul::compression::cuda
