// Counter-based masks: a vectorised loop on the CPU, the same arithmetic in LibTorch elsewhere.
#include "compnode/execution/random_mask.hpp"

#include "proto/assert.hpp"

#include <cmath>

// One body, compiled for several instruction sets, chosen when the program starts.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define LONGHAUL_VECTOR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define LONGHAUL_VECTOR_CLONES
#endif

namespace longhaul::compnode {
namespace {

// Two multiplicative rounds on a 32-bit counter, keyed before and between them.
constexpr std::uint32_t kFirstMultiplier = 0x21f0aaadU;
constexpr std::uint32_t kSecondMultiplier = 0x735a2d97U;

struct RoundKeys {
  std::uint32_t first;
  std::uint32_t second;
};

RoundKeys round_keys(const MaskKey& key, std::uint64_t row) {
  std::uint64_t mixed = mix64(key.seed);
  mixed = mix64(mixed ^ key.step);
  mixed = mix64(mixed ^ key.op);
  mixed = mix64(mixed ^ (key.sequence + row));
  return {static_cast<std::uint32_t>(mixed), static_cast<std::uint32_t>(mixed >> 32)};
}

// An element is dropped if its hash is below this.
std::uint32_t drop_threshold(double rate) {
  return static_cast<std::uint32_t>(std::llround(rate * 4294967296.0 * (1.0 - 1e-12)));
}

LONGHAUL_VECTOR_CLONES void fill_mask(std::uint8_t* mask, std::uint32_t begin, std::uint32_t end,
                                      std::uint32_t first, std::uint32_t second,
                                      std::uint32_t threshold) {
  for (std::uint32_t i = begin; i < end; ++i) {
    std::uint32_t x = i + first;
    x ^= x >> 16;
    x *= kFirstMultiplier;
    x ^= x >> 15;
    x ^= second;
    x *= kSecondMultiplier;
    x ^= x >> 15;
    mask[i] = x >= threshold ? 1 : 0;
  }
}

LONGHAUL_VECTOR_CLONES void masked_scale(const float* values, const std::uint8_t* mask, float scale,
                                         float* out, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i)
    out[i] = values[i] * (static_cast<float>(mask[i]) * scale);
}

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
    const RoundKeys keys = round_keys(key, static_cast<std::uint64_t>(row));
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

std::uint64_t mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

at::Tensor random_mask(const MaskKey& key, double rate, at::IntArrayRef shape,
                       const at::Device& device) {
  LONGHAUL_ASSERT(!shape.empty() && rate >= 0.0 && rate < 1.0);
  const std::uint32_t threshold = drop_threshold(rate);
  if (!device.is_cpu()) return random_mask_by_torch(key, rate, shape, device);
  at::Tensor mask = at::empty(shape, at::kByte);
  const std::int64_t per_row = mask.numel() / shape[0];
  LONGHAUL_ASSERT(per_row <= 0xffffffffLL);
  auto* bytes = mask.data_ptr<std::uint8_t>();
  for (std::int64_t row = 0; row < shape[0]; ++row) {
    const RoundKeys keys = round_keys(key, static_cast<std::uint64_t>(row));
    at::parallel_for(0, per_row, 1 << 16, [&](std::int64_t begin, std::int64_t end) {
      fill_mask(bytes + row * per_row, static_cast<std::uint32_t>(begin),
                static_cast<std::uint32_t>(end), keys.first, keys.second, threshold);
    });
  }
  return mask;
}

at::Tensor apply_mask(const at::Tensor& values, const at::Tensor& mask, double scale) {
  if (!values.device().is_cpu() || values.scalar_type() != at::kFloat) {
    return values.mul(mask).mul_(scale);
  }
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
