// Log-normal costs on the outer stages of a pipeline.
#include "tests/unit/scheduler/units/skewed_batch.hpp"

#include <cmath>
#include <numbers>
#include <random>

namespace longhaul::scheduler {

std::vector<double> log_normal(std::uint64_t seed, std::size_t count, double sigma) {
  std::mt19937_64 random(seed);
  const auto uniform = [&] { return (static_cast<double>(random() >> 11U) + 0.5) * 0x1.0p-53; };
  std::vector<double> values(count);
  for (double& value : values) {  // Box and Muller, so that the numbers are those of the seed alone
    const double normal =
        std::sqrt(-2.0 * std::log(uniform())) * std::cos(2.0 * std::numbers::pi * uniform());
    value = std::exp(sigma * normal - sigma * sigma / 2.0);
  }
  return values;
}

SkewedBatch::SkewedBatch(std::uint64_t seed, Skew skew) {
  const std::vector<double> encoder = log_normal(2 * seed, skew.micro_batches, skew.sigma);
  const std::vector<double> generator = log_normal(2 * seed + 1, skew.micro_batches, skew.sigma);
  for (std::uint32_t s = 0; s < skew.stages; ++s) {
    for (std::uint32_t m = 0; m < skew.micro_batches; ++m) {
      double seconds = 1.0;
      if (s == 0) seconds = skew.mean_of_backbone * encoder[m];
      if (s + 1 == skew.stages) seconds = skew.mean_of_backbone * generator[m];
      forward_s_.push_back(seconds / 3.0);
      backward_s_.push_back(seconds * 2.0 / 3.0);
    }
  }
}

}  // namespace longhaul::scheduler
