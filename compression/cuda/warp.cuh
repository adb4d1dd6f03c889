// What several kernels are made of: magnitudes, sums of warps and blocks, strings of bits.
#pragma once

#include "compression/cuda/device_language.hpp"
#include "compression/kernels.hpp"

namespace longhaul::compression::cuda {

__device__ inline unsigned lane_of_thread() { return threadIdx.x % kWarpLanes; }
__device__ inline unsigned warp_of_thread() { return threadIdx.x / kWarpLanes; }

__device__ inline std::uint32_t magnitude_of(float value) {
  return __float_as_uint(value) & kMagnitudeMask;
}

// The sum over this lane and those below it.
template <class T>
__device__ T inclusive_sum_of_warp(T value) {
  for (unsigned delta = 1; delta < kWarpLanes; delta *= 2) {
    const T lower = __shfl_up_sync(kAllLanes, value, delta);
    if (lane_of_thread() >= delta) value += lower;
  }
  return value;
}

// The sum over the threads below this one, of a block of kThreads; `total` is over all. The block
// may call it again at once.
template <class T>
__device__ T exclusive_sum_of_block(T value, T& total) {
  LONGHAUL_SHARED(T, warp_sums, kWarps);
  const T inclusive = inclusive_sum_of_warp(value);
  if (lane_of_thread() == kWarpLanes - 1) warp_sums[warp_of_thread()] = inclusive;
  __syncthreads();
  T before = 0;
  total = 0;
  for (unsigned warp = 0; warp < kWarps; ++warp) {
    if (warp == warp_of_thread()) before = total;
    total += warp_sums[warp];
  }
  __syncthreads();
  return before + inclusive - value;
}

// Sets `width` <= 58 bits of a string of bits in shared memory, from bit `at` on; the words are
// zero where nobody has set them yet.
__device__ inline void put_bits(Shared<std::uint32_t> words, std::uint32_t at, std::uint64_t bits,
                                unsigned width) {
  const unsigned shift = at % 32;
  const std::uint64_t lower = bits << shift;
  // In two steps: a shift by 64 is undefined.
  const auto upper = static_cast<std::uint32_t>(shift == 0 ? 0 : bits >> (64 - shift));
  if (width == 0) return;
  atomicOr(&words[at / 32], static_cast<std::uint32_t>(lower));
  if (shift + width > 32) atomicOr(&words[at / 32 + 1], static_cast<std::uint32_t>(lower >> 32));
  if (shift + width > 64) atomicOr(&words[at / 32 + 2], upper);
}

// The whole block: zeros for the words of a string of this many bits.
__device__ inline void clear_bits(Shared<std::uint32_t> words, std::uint32_t bits) {
  for (unsigned i = threadIdx.x; i < (bits + 31) / 32; i += kThreads) words[i] = 0;
  __syncthreads();
}

// The whole block, once all bits are set: the string's bytes.
__device__ inline void write_bits(Shared<std::uint32_t> words, std::uint32_t bits,
                                  Out<std::uint8_t> to, std::uint64_t first) {
  __syncthreads();
  for (unsigned i = threadIdx.x; i < (bits + 7) / 8; i += kThreads) {
    const std::uint32_t word = words[i / 4];
    to[first + i] = static_cast<std::uint8_t>(word >> (i % 4 * 8));
  }
}

// Foreign bits, a byte at a time; reads nothing beyond `end` (a byte).
class DeviceBitReader {
 public:
  __device__ DeviceBitReader(In<std::uint8_t> bytes, std::uint64_t begin, std::uint64_t end)
      : bytes_(bytes), at_(8 * begin), end_(8 * end) {}

  // Bits that are left.
  [[nodiscard]] __device__ std::uint64_t left() const { return end_ - at_; }

  // The next `width` <= 25 bits; zeros where there are none.
  [[nodiscard]] __device__ std::uint32_t peek(unsigned width) const {
    std::uint32_t bits = 0;
    for (unsigned i = 0; i < 4; ++i) {
      const std::uint64_t byte = at_ / 8 + i;
      const std::uint32_t next = 8 * byte < end_ ? bytes_[byte] : 0;
      bits |= next << (8 * i);
    }
    return bits >> (at_ % 8) & ((1U << width) - 1);
  }
  __device__ void skip(std::uint64_t width) { at_ += width; }

  // False, and nothing of meaning in `bits`, where fewer are left.
  __device__ bool take(unsigned width, std::uint32_t& bits) {
    if (left() < width) return false;
    const unsigned low = width < 16 ? width : 16;
    bits = peek(low);
    skip(low);
    if (width > low) {
      bits |= peek(width - low) << low;
      skip(width - low);
    }
    return true;
  }

  // The zeros before the next one, which is taken too; false if there is none.
  __device__ bool take_unary(std::uint64_t& zeros) {
    zeros = 0;
    while (left() > 0) {
      const std::uint32_t bits = peek(16);
      if (bits != 0) {
        const auto run = static_cast<unsigned>(__ffs(bits)) - 1;
        zeros += run;
        skip(run + 1);
        return true;
      }
      const std::uint64_t run = left() < 16 ? left() : 16;
      zeros += run;
      skip(run);
    }
    return false;
  }

 private:
  In<std::uint8_t> bytes_;
  std::uint64_t at_;
  std::uint64_t end_;
};

}  // namespace longhaul::compression::cuda
