// One source for two compilers: CUDA's words for nvcc, the emulation's for the host compiler.
#pragma once

// LONGHAUL_CUDA_KERNELS is set where the folder is built for a device, for its .cpp files too.
#if !defined(LONGHAUL_CUDA_KERNELS)
#include "compression/cuda/emulation/language.hpp"
#endif

#include <cstddef>
#include <cstdint>

namespace longhaul::compression::cuda {

struct FourWords {
  std::uint32_t word[4] = {};
};

}  // namespace longhaul::compression::cuda

#if defined(LONGHAUL_CUDA_KERNELS)

#include <cuda_runtime.h>

#include <stdexcept>
#include <string>

namespace longhaul::compression::cuda {

// Parameters of kernels: memory that is read, written, or both, and is reached in no other way.
template <class T>
using In = const T* __restrict__;
template <class T>
using Out = T* __restrict__;
template <class T>
using Shared = T*;

// Four words in one access, from or to an index that is a multiple of 4.
#if defined(__CUDACC__)
__device__ inline FourWords load_four(In<std::uint32_t> words, std::size_t at) {
  const uint4 loaded = *reinterpret_cast<const uint4*>(words + at);
  return {{loaded.x, loaded.y, loaded.z, loaded.w}};
}
__device__ inline void store_four(Out<std::uint32_t> words, std::size_t at, FourWords four) {
  *reinterpret_cast<uint4*>(words + at) =
      uint4{four.word[0], four.word[1], four.word[2], four.word[3]};
}
#endif

inline void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
  }
}

// Where the calling thread's kernels and copies go; at first the default stream.
inline thread_local cudaStream_t current_stream = nullptr;

}  // namespace longhaul::compression::cuda

#define LONGHAUL_SHARED(type, name, count) __shared__ type name[count]

#if defined(__CUDACC__)
namespace longhaul::compression::cuda {
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, A... arguments) {
  kernel<<<grid, block, 0, current_stream>>>(arguments...);
  check(cudaGetLastError(), "launching a kernel");
}
}  // namespace longhaul::compression::cuda
#endif

#else

namespace longhaul::compression::cuda {

using namespace emulation;  // NOLINT: CUDA's names are global, these are only nearly so

template <class T>
using In = Pointer<const T>;
template <class T>
using Out = Pointer<T>;
template <class T>
using Shared = Pointer<T>;

// Misaligned accesses of a device are faults here too: buffers begin at multiples of 16 bytes.
inline FourWords load_four(In<std::uint32_t> words, std::size_t at) {
  if (at % 4 != 0) throw Fault("four words are read at an index that is no multiple of 4");
  FourWords four;
  for (std::size_t i = 0; i < 4; ++i) four.word[i] = words[at + i];
  return four;
}
inline void store_four(Out<std::uint32_t> words, std::size_t at, FourWords four) {
  if (at % 4 != 0) throw Fault("four words are written at an index that is no multiple of 4");
  for (std::size_t i = 0; i < 4; ++i) words[at + i] = four.word[i];
}

template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, A... arguments) {
  run_grid(grid, block, [&] { kernel(arguments...); });
}

}  // namespace longhaul::compression::cuda

#define LONGHAUL_SHARED(type, name, count) \
  static const char name##_tag = 0;        \
  const auto name = shared_array<type>(&name##_tag, #name, count)

#endif

namespace longhaul::compression::cuda {

inline constexpr unsigned kThreads = 256;  // of a block, where nothing else is said
inline constexpr unsigned kWarpLanes = 32;
inline constexpr unsigned kWarps = kThreads / kWarpLanes;
inline constexpr std::uint32_t kAllLanes = 0xffffffffU;

// Words that load_four() and store_four() may reach where `count` are meant.
constexpr std::size_t in_fours(std::size_t count) { return (count + 3) / 4 * 4; }

constexpr unsigned pieces_of(std::size_t count, std::size_t piece) {
  return static_cast<unsigned>((count + piece - 1) / piece);
}

}  // namespace longhaul::compression::cuda
