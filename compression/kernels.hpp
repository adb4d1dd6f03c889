// The inner loops, once per instruction set; every set gives the same bits.
#pragma once

#include "compression/random.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>

namespace longhaul::compression {

// Bits of a float without its sign order magnitudes; from here on they are refused: 2^100.
inline constexpr std::uint32_t kRefusedMagnitude = 0x71800000;
inline constexpr std::uint32_t kMagnitudeMask = 0x7fffffff;
inline constexpr std::uint32_t kTinyMagnitude = 0x0d800000;  // 2^-100: blocks below are zero
inline constexpr std::uint16_t kLargestScale = 0x7380;       // 2^104, as a bfloat16
inline constexpr std::size_t kLongestBlock = 256;
// Sums are kept in this many lanes, value i in lane i mod 16; lane j + 8 is added to lane j, then
// 4, 2, 1.
inline constexpr std::size_t kLanes = 16;
inline constexpr std::size_t kPiece = 4096;  // scan() takes no more at once
inline constexpr std::size_t kSlack = 16;    // collect*() may write this many entries too many

struct Sums {
  double squared_error = 0.0;
  double squares = 0.0;
};

// 1 / sqrt(block), to the nearest binary32; block is 32, 64, 128 or 256.
[[nodiscard]] constexpr float rotation_factor(std::size_t block) {
  switch (block) {
    case 32:
      return 0.17677669529663687F;
    case 64:
      return 0.125F;
    case 128:
      return 0.08838834764831845F;
    case 256:
      return 0.0625F;
  }
  return 0.0F;
}

struct BlockOptions {
  std::size_t block = 0;  // 32, 64, 128 or 256
  int largest = 0;        // Q of format.md
  bool stochastic = false;
  HashKey key = {};                      // of stochastic rounding
  std::uint32_t counter = 0;             // of the first value
  const std::uint32_t* signs = nullptr;  // rotated: `block` masks of 0 or 2^31; else null
};

// The entries of one row that are kept: those above `magnitude`, and the first `ties` equal to it.
struct Threshold {
  std::uint32_t magnitude = 0;
  std::size_t ties = 0;
};

// A code of 16 bits or, in a byte, of 8 or fewer.
template <class Code>
struct BlockKernels {
  // Values to scales and codes. Adds to `sums`, block by block. Returns `count`, or where the first
  // block begins that holds a refused value.
  std::size_t (*quantise)(const float* values, std::size_t count, const BlockOptions&,
                          std::uint16_t* scales, Code* codes, Sums& sums);
  // Scales and codes to values.
  void (*dequantise)(const std::uint16_t* scales, const Code* codes, std::size_t count,
                     const BlockOptions&, float* values);
};

struct Kernels {
  BlockKernels<std::int8_t> narrow;
  BlockKernels<std::int16_t> wide;
  // The largest magnitude of at most kPiece values; adds the sum of their squares to `squares`.
  std::uint32_t (*scan)(const float* values, std::size_t count, double& squares);
  // How many magnitudes are at least this.
  std::size_t (*count_at_least)(const float* values, std::size_t count, std::uint32_t magnitude);
  // Writes `first` + the positions of those, ascending; returns how many. `out` has room for
  // kSlack more.
  std::size_t (*collect_at_least)(const float* values, std::size_t count, std::uint32_t magnitude,
                                  std::uint32_t first, std::uint32_t* out);
  // The same for the entries that the threshold keeps; takes off `ties` what it used of them.
  std::size_t (*collect_kept)(const float* values, std::size_t count, Threshold& threshold,
                              std::uint32_t first, std::uint32_t* out);
};

enum class InstructionSet : std::uint8_t { kScalar, kAvx2, kAvx512 };

// Null if this processor does not have the set.
[[nodiscard]] const Kernels* kernels_for(InstructionSet set);

// Those in use: of the widest set there is, until use_only() says otherwise (tests, benchmarks).
[[nodiscard]] const Kernels& kernels();
void use_only(std::optional<InstructionSet> set);

// The readable version: the specification in code, and what runs where there is nothing wider.
[[nodiscard]] const Kernels& scalar_kernels();

}  // namespace longhaul::compression
