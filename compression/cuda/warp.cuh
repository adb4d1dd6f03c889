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

// Those of four words that are below `size`, zeros for the others.
__device__ inline FourWords load_four_below(In<std::uint32_t> words, std::size_t at,
                                            std::size_t size) {
  if (at + 4 <= size) return load_four(words, at);
  FourWords four;
#pragma unroll
  for (unsigned i = 0; i < 4; ++i) {
    if (at + i < size) four.word[i] = words[at + i];
  }
  return four;
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

// The whole block, of kThreads: the sum of `value`, one a warp, over the warps below this one;
// `total` is over all. The block may call it again at once.
template <class T>
__device__ T sum_of_warps_below(T value, T& total) {
  LONGHAUL_SHARED(T, warp_sums, kWarps);
  if (lane_of_thread() == kWarpLanes - 1) warp_sums[warp_of_thread()] = value;
  __syncthreads();
  T before = 0;
  total = 0;
  for (unsigned warp = 0; warp < kWarps; ++warp) {
    if (warp == warp_of_thread()) before = total;
    total += warp_sums[warp];
  }
  __syncthreads();
  return before;
}

// The same over the threads below this one.
template <class T>
__device__ T exclusive_sum_of_block(T value, T& total) {
  const T inclusive = inclusive_sum_of_warp(value);  // the last lane's is the warp's
  return sum_of_warps_below(inclusive, total) + inclusive - value;
}

// The whole block: zeros for the words of a string of this many bits, and for one more.
__device__ inline void clear_bits(Shared<std::uint32_t> words, std::uint32_t bits) {
  for (unsigned i = threadIdx.x; i <= (bits + 31) / 32; i += kThreads) words[i] = 0;
  __syncthreads();
}

// Appends to a string of bits in shared memory whose words were zero; what lies before and behind
// is other threads', so that words that are shared are or-ed to.
class DeviceBitWriter {
 public:
  __device__ DeviceBitWriter(Shared<std::uint32_t> words, std::uint32_t at)
      : words_(words), at_(at / 32), used_(at % 32) {}

  __device__ void skip(std::uint32_t zeros) {
    if (used_ + zeros < 32) {
      used_ += zeros;
      return;
    }
    flush();
    at_ += (used_ + zeros) / 32;
    used_ = (used_ + zeros) % 32;
  }
  // `width` <= 32 bits; those above are zero.
  __device__ void put(std::uint32_t bits, unsigned width) {
    const std::uint64_t moved = std::uint64_t{bits} << used_;
    waiting_ |= static_cast<std::uint32_t>(moved);
    used_ += width;
    if (used_ < 32) return;
    flush();
    waiting_ = static_cast<std::uint32_t>(moved >> 32);
    ++at_;
    used_ -= 32;
  }
  __device__ void flush() {
    if (waiting_ != 0) atomicOr(&words_[at_], waiting_);
    waiting_ = 0;
  }

 private:
  Shared<std::uint32_t> words_;
  std::uint32_t at_;
  unsigned used_;  // below 32
  std::uint32_t waiting_ = 0;
};

// The whole block, once all bits are set: the string, from byte `first` of `to` on. Words of `to`
// that the string begins or ends in are other blocks' too: they are or-ed to, and zero before.
__device__ inline void write_bits(Shared<std::uint32_t> words, std::uint32_t bits,
                                  Out<std::uint32_t> to, std::uint64_t first) {
  __syncthreads();
  const auto shift = static_cast<unsigned>(first % 4 * 8);
  const std::uint32_t count = (shift + bits + 31) / 32;
  for (unsigned i = threadIdx.x; i < count; i += kThreads) {
    std::uint32_t word = words[i] << shift;  // one past the end is zero: clear_bits()
    if (shift != 0 && i != 0) word |= words[i - 1] >> (32 - shift);
    if (i == 0 || i + 1 == count) {
      atomicOr(&to[first / 4 + i], word);
    } else {
      to[first / 4 + i] = word;
    }
  }
}

// Lanes of a warp that read a string of bits each. Lanes that read wait for each other's loads and
// branches: as few as leave a device's multiprocessors with enough warps.
inline unsigned readers_of_warp(unsigned strings) {
  constexpr unsigned kWarpsWanted = 1024;
  const unsigned lanes = pieces_of(strings, kWarpsWanted);
  return lanes < 1 ? 1 : lanes > kWarpLanes ? kWarpLanes : lanes;
}

// Foreign bits, a word at a time, of which the next has been asked for before it is wanted; reads
// no word that does not hold some of them.
class DeviceBitReader {
 public:
  // Bytes [begin, end).
  __device__ DeviceBitReader(In<std::uint32_t> words, std::uint64_t begin, std::uint64_t end)
      : words_(words),
        next_(begin / 4),
        end_((end + 3) / 4),
        left_(static_cast<std::uint32_t>(8 * (end - begin))) {
    if (left_ == 0) return;
    const auto skipped = static_cast<unsigned>(begin % 4 * 8);
    window_ = words_[next_] >> skipped;
    have_ = 32 - skipped;
    fetch();
  }

  // Bits that are left.
  [[nodiscard]] __device__ std::uint32_t left() const { return left_; }

  // The next 32 bits; those beyond left() are of no meaning.
  [[nodiscard]] __device__ std::uint32_t peek() {
    if (have_ < 32 && have_ < left_) {
      window_ |= std::uint64_t{ahead_} << have_;
      have_ += 32;
      fetch();
    }
    return static_cast<std::uint32_t>(window_);
  }
  // After peek(); `width` <= 32 and <= left().
  __device__ void skip(unsigned width) {
    window_ >>= width;
    have_ -= width;
    left_ -= width;
  }

  // `width` <= 31. False, and nothing of meaning in `bits`, where fewer are left.
  __device__ bool take(unsigned width, std::uint32_t& bits) {
    if (left_ < width) return false;
    bits = peek() & ((1U << width) - 1);
    skip(width);
    return true;
  }

  // The zeros before the next one, which is taken too; false if there is none.
  __device__ bool take_unary(std::uint32_t& zeros) {
    zeros = 0;
    while (left_ > 0) {
      const std::uint32_t bits = peek();
      const unsigned known = left_ < 32 ? left_ : 32;
      const unsigned run = bits == 0 ? 32 : static_cast<unsigned>(__ffs(bits)) - 1;
      if (run < known) {
        zeros += run;
        skip(run + 1);
        return true;
      }
      zeros += known;
      skip(known);
    }
    return false;
  }

 private:
  __device__ void fetch() {
    if (++next_ < end_) ahead_ = words_[next_];
  }

  In<std::uint32_t> words_;
  std::uint64_t next_;  // where ahead_ is from
  std::uint64_t end_;
  std::uint32_t left_;
  std::uint64_t window_ = 0;
  unsigned have_ = 0;  // of window_
  std::uint32_t ahead_ = 0;
};

}  // namespace longhaul::compression::cuda
