// CUDA's device language as C++: the words that kernels of this folder use, with CUDA's meaning.
#pragma once

#include "compression/cuda/emulation/grid.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <source_location>
#include <type_traits>

#define __global__
#define __device__
#define __host__
#define threadIdx (::longhaul::compression::cuda::emulation::coordinates().thread)
#define blockIdx (::longhaul::compression::cuda::emulation::coordinates().block)
#define blockDim (::longhaul::compression::cuda::emulation::coordinates().block_extent)
#define gridDim (::longhaul::compression::cuda::emulation::coordinates().grid_extent)

namespace longhaul::compression::cuda::emulation {

using Here = std::source_location;

inline void __syncthreads(Here where = Here::current()) { block_barrier(where); }

inline void __syncwarp(std::uint32_t mask = ~0U, Here where = Here::current()) {
  (void)warp_exchange(mask, 0, where);
}

template <class T>
std::uint64_t as_word(T value) {
  if constexpr (sizeof(T) == 8) {
    return std::bit_cast<std::uint64_t>(value);
  } else {
    return std::bit_cast<std::uint32_t>(value);
  }
}

template <class T>
T from_word(std::uint64_t word) {
  if constexpr (sizeof(T) == 8) {
    return std::bit_cast<T>(word);
  } else {
    return std::bit_cast<T>(static_cast<std::uint32_t>(word));
  }
}

// What lane `source` gave; a source outside the mask is undefined on a device.
template <class T>
T shuffle(std::uint32_t mask, T value, unsigned source, Here where) {
  const WarpValues& values = warp_exchange(mask, as_word(value), where);
  if ((mask >> source & 1U) == 0) {
    throw Fault("a shuffle reads lane " + std::to_string(source) + ", which is not in its mask");
  }
  return from_word<T>(values[source]);
}

inline unsigned own_lane() { return current_moment().thread % 32; }

template <class T>
T __shfl_sync(std::uint32_t mask, T value, unsigned source, Here where = Here::current()) {
  return shuffle(mask, value, source % 32, where);
}
template <class T>
T __shfl_xor_sync(std::uint32_t mask, T value, unsigned bits, Here where = Here::current()) {
  return shuffle(mask, value, own_lane() ^ bits, where);
}
template <class T>
T __shfl_down_sync(std::uint32_t mask, T value, unsigned delta, unsigned width = 32,
                   Here where = Here::current()) {
  const unsigned lane = own_lane();
  return shuffle(mask, value, lane % width + delta < width ? lane + delta : lane, where);
}
template <class T>
T __shfl_up_sync(std::uint32_t mask, T value, unsigned delta, Here where = Here::current()) {
  const unsigned lane = own_lane();
  return shuffle(mask, value, lane >= delta ? lane - delta : lane, where);
}

inline std::uint32_t __ballot_sync(std::uint32_t mask, bool vote, Here where = Here::current()) {
  const WarpValues& values = warp_exchange(mask, vote ? 1 : 0, where);
  std::uint32_t votes = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1U) != 0 && values[lane] != 0) votes |= 1U << lane;
  }
  return votes;
}

inline std::uint32_t __reduce_max_sync(std::uint32_t mask, std::uint32_t value,
                                       Here where = Here::current()) {
  const WarpValues& values = warp_exchange(mask, value, where);
  std::uint32_t largest = 0;
  for (unsigned lane = 0; lane < 32; ++lane) {
    if ((mask >> lane & 1U) != 0) {
      largest = std::max(largest, static_cast<std::uint32_t>(values[lane]));
    }
  }
  return largest;
}

template <class T>
T atomicAdd(const Reference<T>* at, T value) {
  return at->exchange([=](T old) { return static_cast<T>(old + value); });
}
template <class T>
T atomicMin(const Reference<T>* at, T value) {
  return at->exchange([=](T old) { return std::min(old, value); });
}
template <class T>
T atomicOr(const Reference<T>* at, T value) {
  return at->exchange([=](T old) { return static_cast<T>(old | value); });
}

// The intrinsics that round once and are never fused; compiled without contraction.
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline float __uint_as_float(std::uint32_t bits) { return std::bit_cast<float>(bits); }
inline std::uint32_t __float_as_uint(float value) { return std::bit_cast<std::uint32_t>(value); }
inline int __popc(std::uint32_t bits) { return std::popcount(bits); }
inline int __clzll(long long bits) {
  return std::countl_zero(static_cast<unsigned long long>(bits));
}
inline int __ffs(std::uint32_t bits) { return bits == 0 ? 0 : std::countr_zero(bits) + 1; }

}  // namespace longhaul::compression::cuda::emulation
