// One thread a value: fill, gather, scatter, bfloat16, and the search for what is not finite.
//
// CPU reference: gather() of tensor_codec.cpp, scatter() of tensor_decoder.cpp, narrow_to_bf16()
// and widen_from_bf16() of value_section.cpp.
//
// Floor: what is read and written once; gather and scatter touch a sector of 32 bytes for each
// entry whose neighbours are not in the mask.
#include "compression/cuda/launchers.hpp"
#include "compression/cuda/warp.cuh"

namespace longhaul::compression::cuda {
namespace {

__device__ inline std::size_t own_index() {
  return std::size_t{blockIdx.x} * kThreads + threadIdx.x;
}

template <class T>
__global__ void fill_kernel(Out<T> values, std::size_t count, T value) {
  if (own_index() < count) values[own_index()] = value;
}

__global__ void gather_kernel(In<float> values, In<uint32_t> mask, std::size_t count,
                              Out<float> to) {
  const std::size_t i = own_index();
  if (i < count) to[i] = values[mask[i]];
}

__global__ void scatter_kernel(In<float> values, In<uint32_t> mask, std::size_t count,
                               Out<float> to) {
  const std::size_t i = own_index();
  if (i < count) to[mask[i]] = values[i];
}

__global__ void narrow_kernel(In<float> values, std::size_t count, Out<uint16_t> to) {
  const std::size_t i = own_index();
  if (i >= count) return;
  const uint32_t bits = __float_as_uint(values[i]);
  to[i] = static_cast<uint16_t>((bits + 0x7fffU + (bits >> 16 & 1U)) >> 16);
}

__global__ void widen_kernel(In<uint16_t> values, std::size_t count, Out<float> to) {
  const std::size_t i = own_index();
  if (i >= count) return;
  const uint32_t bits = values[i];
  to[i] = __uint_as_float(bits << 16);
}

__global__ void not_finite_kernel(In<float> values, std::size_t count, Out<uint32_t> refused) {
  const std::size_t i = own_index();
  if (i >= count || magnitude_of(values[i]) < 0x7f800000U) return;
  atomicMin(&refused[0], static_cast<uint32_t>(i));
}

template <class... P, class... A>
void launch_each(void (*kernel)(P...), std::size_t count, A... arguments) {
  if (count != 0) launch(kernel, dim3{pieces_of(count, kThreads)}, dim3{kThreads}, arguments...);
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
