// One source for two compilers: CUDA's words for nvcc, the emulation's for the host compiler.
#pragma once

// LONGHAUL_CUDA is set where the folder is built for a device, also for its .cpp files.
#if !defined(LONGHAUL_CUDA)
#include "compression/cuda/emulation/language.hpp"
#endif

#include <cstddef>
#include <cstdint>

#if defined(LONGHAUL_CUDA)

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

inline void check(cudaError_t status, const char* what) {
  if (status != cudaSuccess) {
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
  }
}

}  // namespace longhaul::compression::cuda

#define LONGHAUL_SHARED(type, name, count) __shared__ type name[count]

#if defined(__CUDACC__)
namespace longhaul::compression::cuda {
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, A... arguments) {
  kernel<<<grid, block>>>(arguments...);
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

constexpr unsigned pieces_of(std::size_t count, std::size_t piece) {
  return static_cast<unsigned>((count + piece - 1) / piece);
}

}  // namespace longhaul::compression::cuda
