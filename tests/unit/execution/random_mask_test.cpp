// Dropout masks are a function of their key alone.
#include "compnode/execution/random_mask.hpp"
#include "compression/random.hpp"

#include <doctest/doctest.h>

namespace longhaul::compnode {

TEST_CASE("random_mask: each element is what the formula of the device's kernel says") {
  using compression::mix64;
  const at::Tensor mask = random_mask({11, 22, 33, 44}, 0.25, {3, 50}, at::kCPU);
  const std::uint64_t key = mix64(mix64(mix64(11) ^ 22) ^ 33);
  for (std::int64_t row = 0; row < 3; ++row) {
    const auto own = compression::hash_key(key ^ (44 + static_cast<std::uint64_t>(row)));
    for (std::int64_t i = 0; i < 50; ++i) {
      const bool kept = compression::hash(own, static_cast<std::uint32_t>(i)) >= 1U << 30;
      CHECK((mask[row][i].item<std::uint8_t>() == 1) == kept);
    }
  }
}

TEST_CASE("random_mask: keeps the fraction that the rate leaves") {
  for (const double rate : {0.0, 0.1, 0.5, 0.9}) {
    const at::Tensor mask = random_mask({1, 2, 3, 4}, rate, {4, 1000, 250}, at::kCPU);
    CHECK(mask.to(at::kDouble).mean().item<double>() == doctest::Approx(1.0 - rate).epsilon(0.01));
  }
}

TEST_CASE("random_mask: a sequence's mask does not depend on how the batch is cut") {
  const at::Tensor whole = random_mask({7, 9, 5, 10}, 0.3, {4, 33, 17}, at::kCPU);
  const at::Tensor rear = random_mask({7, 9, 5, 12}, 0.3, {2, 33, 17}, at::kCPU);
  CHECK(whole.narrow(0, 2, 2).equal(rear));
}

TEST_CASE("random_mask: seed, step, operator and sequence each change it") {
  const at::Tensor base = random_mask({1, 1, 1, 1}, 0.5, {1, 4096}, at::kCPU);
  for (const MaskKey& key :
       {MaskKey{2, 1, 1, 1}, MaskKey{1, 2, 1, 1}, MaskKey{1, 1, 2, 1}, MaskKey{1, 1, 1, 2}}) {
    const double equal =
        random_mask(key, 0.5, {1, 4096}, at::kCPU).eq(base).to(at::kDouble).mean().item<double>();
    CHECK(equal == doctest::Approx(0.5).epsilon(0.1));
  }
}

TEST_CASE("random_mask: neighbours are independent") {
  const at::Tensor mask =
      random_mask({3, 1, 4, 1}, 0.5, {1, 1 << 20}, at::kCPU).to(at::kDouble).sub(0.5).view({-1});
  for (const std::int64_t lag : {1, 2, 64, 256, 4096}) {
    const std::int64_t n = mask.numel() - lag;
    const double correlation = mask.narrow(0, 0, n).dot(mask.narrow(0, lag, n)).item<double>() /
                               (0.25 * static_cast<double>(n));
    CHECK(std::abs(correlation) < 0.005);
  }
}

TEST_CASE(
    "random_mask: LibTorch's arithmetic, as other devices use it, gives the CPU loop's bits") {
  const MaskKey key{11, 22, 33, 44};
  CHECK(random_mask_by_torch(key, 0.37, {3, 5, 7001}, at::kCPU)
            .equal(random_mask(key, 0.37, {3, 5, 7001}, at::kCPU)));
}

}  // namespace longhaul::compnode
