// Counter-based masks: a vectorised loop on the CPU, a kernel on CUDA devices where nvcc was there
// to compile it, LibTorch's integer arithmetic elsewhere.
#include "compnode/execution/random_mask.hpp"

#include "compression/random.hpp"
#include "proto/assert.hpp"
#if defined(LONGHAUL_CUDA_KERNELS)
#include "compnode/execution/cuda/mask_kernel.hpp"
#include "compression/cuda/device_buffer.hpp"
#endif

#include <algorithm>
#include <cmath>

// One body, compiled for several instruction sets, chosen when the program starts.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define LONGHAUL_VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define LONGHAUL_VECTOR_CLONES
#endif

namespace longhaul::compnode {
namespace {

using compression::hash;
using compression::hash_key;
using compression::HashKey;
using compression::kFirstMultiplier;
using compression::kSecondMultiplier;
using compression::mix64;

// Of a mask, without its sequence.
std::uint64_t key_of(const MaskKey& key) {
  return mix64(mix64(mix64(key.seed) ^ key.step) ^ key.op);
}

HashKey key_of(const MaskKey& key, std::int64_t row) {
  return hash_key(key_of(key) ^ (key.sequence + static_cast<std::uint64_t>(row)));
}

// An element is dropped if its hash is below this.
std::uint32_t drop_threshold(double rate) {
  return static_cast<std::uint32_t>(std::llround(rate * 4294967296.0 * (1.0 - 1e-12)));
}

LONGHAUL_VECTOR_CLONES void fill_mask(std::uint8_t* mask, std::uint32_t begin, std::uint32_t end,
                                      HashKey key, std::uint32_t threshold) {
  for (std::uint32_t i = begin; i < end; ++i) mask[i] = hash(key, i) >= threshold ? 1 : 0;
}

LONGHAUL_VECTOR_CLONES void masked_scale(const float* values, const std::uint8_t* mask, float scale,
                                         float* out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i)
    out[i] = values[i] * (static_cast<float>(mask[i]) * scale);
}

#if defined(LONGHAUL_CUDA_KERNELS)
at::Tensor random_mask_by_kernel(const MaskKey& key, double rate, at::IntArrayRef shape,
                                 const at::Device& device) {
  std::int64_t elements = 1;
  for (const std::int64_t extent : shape) elements *= extent;
  const auto bytes = static_cast<std::int64_t>(
      4 * compression::cuda::in_fours((static_cast<std::size_t>(elements) + 3) / 4));
  at::Tensor mask = at::empty({bytes}, at::TensorOptions(device).dtype(at::kByte));
  compression::cuda::use_device(device.index());
  fill_mask_on_device(
      {.words = static_cast<std::uint32_t*>(mask.data_ptr()),
       .elements = static_cast<std::size_t>(elements),
       .per_sequence = static_cast<std::uint32_t>(std::max<std::int64_t>(1, elements / shape[0])),
       .key = key_of(key),
       .first_sequence = key.sequence,
       .threshold = drop_threshold(rate)});
  return mask.narrow(0, 0, elements).view(shape);
}
#endif

}  // namespace

at::Tensor random_mask_by_torch(const MaskKey& key, double rate, at::IntArrayRef shape,
                                const at::Device& device) {
  const std::uint32_t threshold = drop_threshold(rate);
  const std::int64_t rows = shape[0];
  std::vector<std::int64_t> firsts;
  std::vector<std::int64_t> seconds;
  std::int64_t per_row = 1;
  for (std::size_t d = 1; d < shape.size(); ++d) per_row *= shape[d];
  for (std::int64_t row = 0; row < rows; ++row) {
    const HashKey keys = key_of(key, row);
    firsts.push_back(keys.first);
    seconds.push_back(keys.second);
  }
  const auto options = at::TensorOptions().dtype(at::kLong).device(device);
  constexpr std::int64_t kLow32 = 0xffffffffLL;
  const auto column = [&](const std::vector<std::int64_t>& keys) {
    return at::tensor(keys, at::kLong).to(device).unsqueeze(1);
  };
  at::Tensor x = at::arange(per_row, options).unsqueeze(0).add(column(firsts)).bitwise_and_(kLow32);
  x.bitwise_xor_(x.bitwise_right_shift(16));
  x.mul_(static_cast<std::int64_t>(kFirstMultiplier)).bitwise_and_(kLow32);
  x.bitwise_xor_(x.bitwise_right_shift(15));
  x.bitwise_xor_(column(seconds));
  x.mul_(static_cast<std::int64_t>(kSecondMultiplier)).bitwise_and_(kLow32);
  x.bitwise_xor_(x.bitwise_right_shift(15));
  return x.ge(static_cast<std::int64_t>(threshold)).to(at::kByte).view(shape);
}

at::Tensor random_mask(const MaskKey& key, double rate, at::IntArrayRef shape,
                       const at::Device& device) {
  LONGHAUL_ASSERT(!shape.empty() && rate >= 0.0 && rate < 1.0);
  const std::uint32_t threshold = drop_threshold(rate);
#if defined(LONGHAUL_CUDA_KERNELS)
  if (device.is_cuda()) return random_mask_by_kernel(key, rate, shape, device);
#endif
  if (!device.is_cpu()) return random_mask_by_torch(key, rate, shape, device);
  at::Tensor mask = at::empty(shape, at::kByte);
  const std::int64_t per_row = mask.numel() / shape[0];
  LONGHAUL_ASSERT(per_row <= 0xffffffffLL);
  auto* bytes = mask.data_ptr<std::uint8_t>();
  for (std::int64_t row = 0; row < shape[0]; ++row) {
    const HashKey keys = key_of(key, row);
    at::parallel_for(0, per_row, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
      fill_mask(bytes + row * per_row, static_cast<std::uint32_t>(begin),
                static_cast<std::uint32_t>(end), keys, threshold);
    });
  }
  return mask;
}

at::Tensor apply_mask(const at::Tensor& values, const at::Tensor& mask, double scale) {
  if (!values.device().is_cpu()) {  // one kernel for both products
    return at::native_dropout_backward(values, mask.view(at::kBool), scale);
  }
  if (values.scalar_type() != at::kFloat) return values.mul(mask).mul_(scale);
  at::Tensor out = at::empty_like(values);
  const float* in = values.data_ptr<float>();
  const auto* kept = mask.data_ptr<std::uint8_t>();
  float* result = out.data_ptr<float>();
  at::parallel_for(0, values.numel(), 1 << 16, [&](std::int64_t begin, std::int64_t end) {
    masked_scale(in + begin, kept + begin, static_cast<float>(scale), result + begin, end - begin);
  });
  return out;
}

}  // namespace longhaul::compnode
