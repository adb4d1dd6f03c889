// Blocks of 3- to 8-bit and of 16-bit codes: a warp takes a block, a lane every 32nd of its values.
//
// What it computes: format.md, "Blocks", "Rotated blocks", "Plain codes" and the symbols of "Packed
// codes", in one pass: values in, scales and codes or symbols out. CPU reference: quantise() and
// dequantise() of kernels_scalar.cpp, low_bit_codes.cpp.
//
// All of a block is in the registers of its warp: lane L holds the values L, L + 32, ... So the
// butterflies of h < 32 are shuffles, the others are between registers of one lane. The 32 codes
// that lie beside each other in a register of the warp fill whole words of 32 bits, as codes and as
// symbols: neighbours are joined by shuffles, twice as many in each step.
//
// Floor: 4 bytes read, bits / 8 + 2 / block written for each value; nothing is read twice.
#include "compression/cuda/launchers.hpp"
#include "compression/cuda/warp.cuh"

namespace longhaul::compression::cuda {
namespace {

// Of (p, q) the sum to p, the difference to q.
template <unsigned kPerLane>
__device__ void butterflies(float (&x)[kPerLane]) {
  for (unsigned h = 1; h < kWarpLanes; h *= 2) {
    const bool upper = (lane_of_thread() & h) != 0;
#pragma unroll
    for (unsigned j = 0; j < kPerLane; ++j) {
      const float other = __shfl_xor_sync(kAllLanes, x[j], h);
      x[j] = upper ? __fsub_rn(other, x[j]) : __fadd_rn(x[j], other);
    }
  }
#pragma unroll
  for (unsigned h = 1; h < kPerLane; h *= 2) {
#pragma unroll
    for (unsigned p = 0; p < kPerLane; ++p) {
      if ((p & h) != 0) continue;
      const float a = x[p];
      const float b = x[p + h];
      x[p] = __fadd_rn(a, b);
      x[p + h] = __fsub_rn(a, b);
    }
  }
#pragma unroll
  for (unsigned j = 0; j < kPerLane; ++j) {
    x[j] = __fmul_rn(x[j], rotation_factor(kWarpLanes * kPerLane));
  }
}

template <unsigned kPerLane>
__device__ void flip_signs(float (&x)[kPerLane], HashKey key) {
#pragma unroll
  for (unsigned j = 0; j < kPerLane; ++j) {
    const uint32_t sign = hash(key, lane_of_thread() + kWarpLanes * j) & 0x80000000U;
    x[j] = __uint_as_float(__float_as_uint(x[j]) ^ sign);
  }
}

template <unsigned kPerLane>
__device__ uint32_t largest_of_warp(const float (&x)[kPerLane]) {
  uint32_t largest = 0;
#pragma unroll
  for (unsigned j = 0; j < kPerLane; ++j) {
    const uint32_t magnitude = magnitude_of(x[j]);
    largest = magnitude > largest ? magnitude : largest;
  }
  return __reduce_max_sync(kAllLanes, largest);
}

__device__ inline uint32_t scale_of(uint32_t largest_magnitude, int largest) {
  if (largest_magnitude < kTinyMagnitude) return 0;
  const float scale = __fdiv_rn(__uint_as_float(largest_magnitude), static_cast<float>(largest));
  return (__float_as_uint(scale) + 0xffffU) >> 16;
}

__device__ inline float rounded(float y, const BlockLayout& layout, int largest, uint32_t place) {
  if (!layout.stochastic) return rintf(y);
  const uint32_t random = hash(layout.key, place);
  const float u = __fmul_rn(static_cast<float>(random >> 8), 0x1p-24F);
  const float q = floorf(__fadd_rn(y, u));
  const auto limit = static_cast<float>(largest);
  return fminf(fmaxf(q, -limit), limit);
}

// Lanes 0 to 15 hold the format's sums in lanes; lane 0 gets their sum.
__device__ inline float sum_of_lanes(float sum) {
  for (unsigned width = kLanes / 2; width > 0; width /= 2) {
    sum = __fadd_rn(sum, __shfl_down_sync(kAllLanes, sum, width));
  }
  return sum;
}

// One more register's values: those of the lower half-warp come first, then the upper's.
__device__ inline float add_to_lanes(float sum, float term) {
  sum = __fadd_rn(sum, term);
  return __fadd_rn(sum, __shfl_down_sync(kAllLanes, term, kLanes));
}

// Lanes that are multiples of kTo get the fields of kTo / kFrom lanes beside each other, `width`
// bits apart; each kFrom'th lane has one.
template <unsigned kFrom, unsigned kTo>
__device__ uint32_t joined(uint32_t field, unsigned width) {
#pragma unroll
  for (unsigned lanes = kFrom; lanes < kTo; lanes *= 2, width *= 2) {
    field |= __shfl_down_sync(kAllLanes, field, lanes) << width;
  }
  return field;
}

// Words that 32 codes fill: side by side, or as symbols of 8 bits.
template <unsigned kBits, bool kSymbols>
constexpr unsigned kWordsOf32 = !kSymbols   ? kBits
                                : kBits > 4 ? 8
                                            : 4;

// Of 32 codes, unsigned numbers of kBits bits: `word` is number `index` of their words; no word has
// the index kWarpLanes.
struct WarpWord {
  uint32_t word = 0;
  unsigned index = kWarpLanes;
};

template <unsigned kBits, bool kSymbols>
__device__ WarpWord word_of_lane(uint32_t code) {
  const unsigned lane = lane_of_thread();
  constexpr unsigned kWords = kWordsOf32<kBits, kSymbols>;
  if constexpr (kSymbols || 32 % kBits == 0) {  // words begin where codes do
    constexpr unsigned kCodes = kWarpLanes / kWords;
    uint32_t word = 0;
    if constexpr (kBits == 3) {
      word = joined<2, kCodes>(joined<1, 2>(code, kBits), 8);
    } else {
      word = joined<1, kCodes>(code, kSymbols && kBits > 4 ? 8 : kBits);
    }
    return {word, lane % kCodes == 0 ? lane / kCodes : kWarpLanes};
  } else {  // 24 bits at a time, of which four make three words
    constexpr unsigned kCodes = 24 / kBits;
    const uint32_t part = joined<1, kCodes>(code, kBits);
    const unsigned first = lane + lane / 3;
    const unsigned within = lane % 3 * 8;
    const uint32_t low = __shfl_sync(kAllLanes, part, first * kCodes);
    const uint32_t high = __shfl_sync(kAllLanes, part, (first + 1) * kCodes);
    return {low >> within | high << (24 - within), lane < kWords ? lane : kWarpLanes};
  }
}

template <unsigned kBits, bool kSymbols>
__device__ void write_codes(const QuantiseTask& task, uint32_t first, uint32_t code) {
  const WarpWord own = word_of_lane<kBits, kSymbols>(code);
  constexpr unsigned kWords = kWordsOf32<kBits, kSymbols>;
  const std::size_t at = std::size_t{first / kWarpLanes} * kWords + own.index;
  if (own.index < kWords && at < code_words(task.count, kBits, kSymbols)) task.words[at] = own.word;
}

template <unsigned kBits, bool kSymbols, unsigned kPerLane>
__global__ void quantise_blocks(QuantiseTask task) {
  constexpr unsigned kBlock = kWarpLanes * kPerLane;
  constexpr int kLargest = (1 << (kBits - 1)) - 1;
  constexpr uint32_t kCodeMask = (1U << kBits) - 1;
  const unsigned block = blockIdx.x * kWarps + warp_of_thread();
  const uint32_t begin = block * kBlock;
  if (begin >= task.count) return;  // the whole warp
  const uint32_t length = task.count - begin < kBlock ? task.count - begin : kBlock;
  const unsigned lane = lane_of_thread();

  float x[kPerLane];
#pragma unroll
  for (unsigned j = 0; j < kPerLane; ++j) {  // nothing but loads, which need not wait
    const uint32_t i = lane + kWarpLanes * j;
    x[j] = 0.0F;
    if (i < length) x[j] = task.values[begin + i];
  }
  if (largest_of_warp(x) >= kRefusedMagnitude) {
#pragma unroll
    for (unsigned j = 0; j < kPerLane; ++j) {
      if (magnitude_of(x[j]) < kRefusedMagnitude) continue;
      atomicMin(&task.refused[0], begin + lane + kWarpLanes * j);
      x[j] = 0.0F;  // what is written then is of no meaning, but it is written
    }
  }
  if (task.layout.rotated && length == kBlock) {
    flip_signs(x, task.layout.sign_key);
    butterflies(x);
  }
  const uint32_t scale_bits = scale_of(largest_of_warp(x), kLargest);
  const float scale = __uint_as_float(scale_bits << 16);
  const float inverse = scale_bits == 0 ? 0.0F : __fdiv_rn(1.0F, scale);
  float errors = 0.0F;
  float squares = 0.0F;
#pragma unroll
  for (unsigned j = 0; j < kPerLane; ++j) {
    const uint32_t i = lane + kWarpLanes * j;
    const float y = __fmul_rn(x[j], inverse);
    // Beyond the end and in blocks of zeros y is 0, and so is what is added.
    const float q =
        i < length && scale_bits != 0 ? rounded(y, task.layout, kLargest, begin + i) : 0.0F;
    const float error = scale_bits != 0 ? __fsub_rn(y, q) : 0.0F;
    errors = add_to_lanes(errors, __fmul_rn(error, error));
    squares = add_to_lanes(squares, __fmul_rn(y, y));
    if (kWarpLanes * j < length) {
      write_codes<kBits, kSymbols>(task, begin + kWarpLanes * j,
                                   static_cast<uint32_t>(static_cast<int>(q)) & kCodeMask);
    }
  }
  errors = sum_of_lanes(errors);
  squares = sum_of_lanes(squares);
  if (lane != 0) return;
  const double unit = __dmul_rn(static_cast<double>(scale), static_cast<double>(scale));
  task.scales[block] = static_cast<uint16_t>(scale_bits);
  task.errors[block] = __dmul_rn(static_cast<double>(errors), unit);
  task.squares[block] = __dmul_rn(static_cast<double>(squares), unit);
}

// Where the lane's code is in the words of 32 codes.
template <unsigned kBits, bool kSymbols>
__device__ unsigned first_bit_of_lane() {
  const unsigned lane = lane_of_thread();
  if (kSymbols && kBits == 6) return lane * 8;
  if (kSymbols && kBits == 3) return lane / 2 * 8 + lane % 2 * kBits;
  return lane * kBits;
}

// With its sign, from the words that it is in; the second is asked for by plain 6- and 3-bit codes.
template <unsigned kBits>
__device__ int code_in(uint32_t low, uint32_t high, unsigned bit) {
  uint32_t code = low >> (bit % 32);
  if (bit % 32 + kBits > 32) code |= high << (32 - bit % 32);
  constexpr uint32_t kSign = 1U << (kBits - 1);
  code &= (1U << kBits) - 1;
  return static_cast<int>(code ^ kSign) - static_cast<int>(kSign);
}

template <unsigned kBits, bool kSymbols, unsigned kPerLane>
__global__ void dequantise_blocks(DequantiseTask task) {
  constexpr unsigned kBlock = kWarpLanes * kPerLane;
  const unsigned block = blockIdx.x * kWarps + warp_of_thread();
  const uint32_t begin = block * kBlock;
  if (begin >= task.count) return;  // the whole warp
  const uint32_t length = task.count - begin < kBlock ? task.count - begin : kBlock;
  const unsigned lane = lane_of_thread();
  const uint32_t scale_bits = task.scales[block];
  const float scale = __uint_as_float(scale_bits << 16);
  constexpr unsigned kWords = kWordsOf32<kBits, kSymbols>;
  constexpr bool kStraddles = !kSymbols && 32 % kBits != 0;
  const unsigned bit = first_bit_of_lane<kBits, kSymbols>();
  const std::size_t first_word = std::size_t{begin / kWarpLanes} * kWords + bit / 32;
  const unsigned next_word = bit % 32 + kBits > 32 ? 1 : 0;  // else the same one again: no branch
  uint32_t low[kPerLane];
  uint32_t high[kPerLane];
#pragma unroll
  for (unsigned j = 0; j < kPerLane; ++j) {  // nothing but loads, which need not wait
    low[j] = high[j] = 0;
    if (lane + kWarpLanes * j >= length) continue;
    low[j] = task.words[first_word + j * kWords];
    if (kStraddles) high[j] = task.words[first_word + j * kWords + next_word];
  }
  if (scale_bits > kLargestScale && lane == 0) atomicMin(&task.refused[0], uint32_t{block});
  float x[kPerLane];
#pragma unroll
  for (unsigned j = 0; j < kPerLane; ++j) {
    x[j] = __fmul_rn(static_cast<float>(code_in<kBits>(low[j], high[j], bit)), scale);
  }
  if (task.layout.rotated && length == kBlock) {
    butterflies(x);
    flip_signs(x, task.layout.sign_key);
  }
#pragma unroll
  for (unsigned j = 0; j < kPerLane; ++j) {
    const uint32_t i = lane + kWarpLanes * j;
    if (i < length) task.values[begin + i] = x[j];
  }
}

dim3 grid_of(uint32_t count, unsigned block) {
  return {pieces_of(pieces_of(count, block), kWarps)};
}

template <unsigned kBits, bool kSymbols>
auto quantiser_for(unsigned block) {
  return block == 32    ? quantise_blocks<kBits, kSymbols, 1>
         : block == 64  ? quantise_blocks<kBits, kSymbols, 2>
         : block == 128 ? quantise_blocks<kBits, kSymbols, 4>
                        : quantise_blocks<kBits, kSymbols, 8>;
}

template <unsigned kBits, bool kSymbols>
auto dequantiser_for(unsigned block) {
  return block == 32    ? dequantise_blocks<kBits, kSymbols, 1>
         : block == 64  ? dequantise_blocks<kBits, kSymbols, 2>
         : block == 128 ? dequantise_blocks<kBits, kSymbols, 4>
                        : dequantise_blocks<kBits, kSymbols, 8>;
}

}  // namespace

// Symbols of 8- and 4-bit codes are the codes as they lie side by side.
void quantise(const QuantiseTask& task) {
  if (task.count == 0) return;
  const unsigned block = task.layout.block;
  const bool symbols = task.symbols;
  const auto kernel = task.layout.bits == 16  ? quantiser_for<16, false>(block)
                      : task.layout.bits == 8 ? quantiser_for<8, false>(block)
                      : task.layout.bits == 4 ? quantiser_for<4, false>(block)
                      : task.layout.bits == 6
                          ? symbols ? quantiser_for<6, true>(block) : quantiser_for<6, false>(block)
                      : symbols ? quantiser_for<3, true>(block)
                                : quantiser_for<3, false>(block);
  launch(kernel, grid_of(task.count, block), dim3{kThreads}, task);
}

void dequantise(const DequantiseTask& task) {
  if (task.count == 0) return;
  const unsigned block = task.layout.block;
  const bool symbols = task.symbols;
  const auto kernel = task.layout.bits == 16  ? dequantiser_for<16, false>(block)
                      : task.layout.bits == 8 ? dequantiser_for<8, false>(block)
                      : task.layout.bits == 4 ? dequantiser_for<4, false>(block)
                      : task.layout.bits == 6 ? symbols ? dequantiser_for<6, true>(block)
                                                        : dequantiser_for<6, false>(block)
                      : symbols ? dequantiser_for<3, true>(block)
                                              : dequantiser_for<3, false>(block);
  launch(kernel, grid_of(task.count, block), dim3{kThreads}, task);
}

}  // namespace longhaul::compression::cuda
