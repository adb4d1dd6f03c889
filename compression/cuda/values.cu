// Four values a thread: fill, gather, scatter, bfloat16, and the search for what is not finite.
//
// CPU reference: gather() of tensor_codec.cpp, scatter() of tensor_decoder.cpp, narrow_to_bf16()
// and widen_from_bf16() of value_section.cpp.
//
// A block has 1024 values beside each other, a thread every 256th of them; its loads come first, so
// that they do not wait for each other.
//
// Floor: what is read and written once; gather and scatter touch a sector of 32 bytes for each
// entry whose neighbours are not in the mask.
#include "compression/cuda/launchers.hpp"
#include "compression/cuda/warp.cuh"

namespace longhaul::compression::cuda {
namespace {

constexpr unsigned kEach = 4;

__device__ inline std::size_t own_index(unsigned j) {
  return (std::size_t{blockIdx.x} * kEach + j) * kThreads + threadIdx.x;
}

template <class T>
struct Own {
  T item[kEach];
};

template <class T>
__device__ Own<T> own_items(In<T> from, std::size_t count) {
  Own<T> own;
#pragma unroll
  for (unsigned j = 0; j < kEach; ++j) {
    own.item[j] = 0;
    if (own_index(j) < count) own.item[j] = from[own_index(j)];
  }
  return own;
}

template <class T>
__device__ void store_items(const Own<T>& own, Out<T> to, std::size_t count) {
#pragma unroll
  for (unsigned j = 0; j < kEach; ++j) {
    if (own_index(j) < count) to[own_index(j)] = own.item[j];
  }
}

template <class T>
__global__ void fill_kernel(Out<T> values, std::size_t count, T value) {
  store_items(Own<T>{{value, value, value, value}}, values, count);
}

__global__ void gather_kernel(In<float> values, In<uint32_t> mask, std::size_t count,
                              Out<float> to) {
  const Own<uint32_t> at = own_items(mask, count);
  Own<float> own;
#pragma unroll
  for (unsigned j = 0; j < kEach; ++j) {
    own.item[j] = 0.0F;
    if (own_index(j) < count) own.item[j] = values[at.item[j]];
  }
  store_items(own, to, count);
}

__global__ void scatter_kernel(In<float> values, In<uint32_t> mask, std::size_t count,
                               Out<float> to) {
  const Own<uint32_t> at = own_items(mask, count);
  const Own<float> own = own_items(values, count);
#pragma unroll
  for (unsigned j = 0; j < kEach; ++j) {
    if (own_index(j) < count) to[at.item[j]] = own.item[j];
  }
}

__global__ void narrow_kernel(In<float> values, std::size_t count, Out<uint16_t> to) {
  const Own<float> own = own_items(values, count);
  Own<uint16_t> narrow;
#pragma unroll
  for (unsigned j = 0; j < kEach; ++j) {
    const uint32_t bits = __float_as_uint(own.item[j]);
    narrow.item[j] = static_cast<uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
  }
  store_items(narrow, to, count);
}

__global__ void widen_kernel(In<uint16_t> values, std::size_t count, Out<float> to) {
  const Own<uint16_t> own = own_items(values, count);
  Own<float> wide;
#pragma unroll
  for (unsigned j = 0; j < kEach; ++j) {
    wide.item[j] = __uint_as_float(uint32_t{own.item[j]} << 16);
  }
  store_items(wide, to, count);
}

__global__ void not_finite_kernel(In<float> values, std::size_t count, Out<uint32_t> refused) {
  const Own<float> own = own_items(values, count);
#pragma unroll
  for (unsigned j = 0; j < kEach; ++j) {
    if (magnitude_of(own.item[j]) < 0x7f800000U) continue;
    atomicMin(&refused[0], static_cast<uint32_t>(own_index(j)));
  }
}

template <class... P, class... A>
void launch_each(void (*kernel)(P...), std::size_t count, A... arguments) {
  if (count == 0) return;
  launch(kernel, dim3{pieces_of(count, kEach * kThreads)}, dim3{kThreads}, arguments...);
}

}  // namespace

void fill(Out<uint32_t> words, std::size_t count, uint32_t value) {
  launch_each(fill_kernel<uint32_t>, count, words, count, value);
}

void fill_zero(Out<float> values, std::size_t count) {
  launch_each(fill_kernel<float>, count, values, count, 0.0F);
}

void gather(In<float> values, In<uint32_t> mask, std::size_t count, Out<float> to) {
  launch_each(gather_kernel, count, values, mask, count, to);
}

void scatter(In<float> values, In<uint32_t> mask, std::size_t count, Out<float> to) {
  launch_each(scatter_kernel, count, values, mask, count, to);
}

void narrow_to_bf16(In<float> values, std::size_t count, Out<uint16_t> to) {
  launch_each(narrow_kernel, count, values, count, to);
}

void widen_from_bf16(In<uint16_t> values, std::size_t count, Out<float> to) {
  launch_each(widen_kernel, count, values, count, to);
}

void find_not_finite(In<float> values, std::size_t count, Out<uint32_t> refused) {
  launch_each(not_finite_kernel, count, values, count, refused);
}

}  // namespace longhaul::compression::cuda
