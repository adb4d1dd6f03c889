// The kernels in plain C++, one operation after the other as format.md has them.
#include "compression/kernels.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace longhaul::compression {
namespace {

std::uint32_t magnitude_of(float value) {
  return std::bit_cast<std::uint32_t>(value) & kMagnitudeMask;
}

template <class T>
T sum_of_lanes(std::array<T, kLanes>& lanes) {
  for (std::size_t width = kLanes / 2; width > 0; width /= 2) {
    for (std::size_t j = 0; j < width; ++j) lanes[j] += lanes[j + width];
  }
  return lanes[0];
}

void butterflies(float* values, std::size_t count) {
  for (std::size_t h = 1; h < count; h *= 2) {
    for (std::size_t i = 0; i < count; i += 2 * h) {
      for (std::size_t p = i; p < i + h; ++p) {
        const float a = values[p];
        const float b = values[p + h];
        values[p] = a + b;
        values[p + h] = a - b;
      }
    }
  }
  const float factor = rotation_factor(count);
  for (std::size_t i = 0; i < count; ++i) values[i] *= factor;
}

void flip_signs(float* values, std::size_t count, const std::uint32_t* signs) {
  for (std::size_t i = 0; i < count; ++i) {
    values[i] = std::bit_cast<float>(std::bit_cast<std::uint32_t>(values[i]) ^ signs[i]);
  }
}

std::uint16_t scale_of(std::uint32_t largest_magnitude, int largest) {
  if (largest_magnitude < kTinyMagnitude) return 0;
  const float scale = std::bit_cast<float>(largest_magnitude) / static_cast<float>(largest);
  return static_cast<std::uint16_t>((std::bit_cast<std::uint32_t>(scale) + 0xffffU) >> 16);
}

// One block; returns false if it holds a refused value.
template <class Code>
bool quantise_block(const float* values, std::size_t count, const BlockOptions& options,
                    std::uint32_t counter, std::uint16_t& scale_bits, Code* codes, Sums& sums) {
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < count; ++i) largest = std::max(largest, magnitude_of(values[i]));
  if (largest >= kRefusedMagnitude) return false;
  float rotated[kLongestBlock];
  if (options.signs != nullptr && count == options.block) {
    std::copy_n(values, count, rotated);
    flip_signs(rotated, count, options.signs);
    butterflies(rotated, count);
    values = rotated;
    largest = 0;
    for (std::size_t i = 0; i < count; ++i) largest = std::max(largest, magnitude_of(values[i]));
  }
  scale_bits = scale_of(largest, options.largest);
  if (scale_bits == 0) {
    std::fill_n(codes, count, Code{0});
    return true;
  }
  const float scale = std::bit_cast<float>(static_cast<std::uint32_t>(scale_bits) << 16);
  const float inverse = 1.0F / scale;
  const auto limit = static_cast<float>(options.largest);
  std::array<float, kLanes> errors{};
  std::array<float, kLanes> squares{};
  for (std::size_t i = 0; i < count; ++i) {
    const float y = values[i] * inverse;
    float q = 0.0F;
    if (options.stochastic) {
      const std::uint32_t random = hash(options.key, counter + static_cast<std::uint32_t>(i));
      const float u = static_cast<float>(random >> 8) * 0x1p-24F;
      q = std::clamp(std::floor(y + u), -limit, limit);
    } else {
      q = std::nearbyint(y);
    }
    codes[i] = static_cast<Code>(q);
    const float error = y - q;
    errors[i % kLanes] += error * error;
    squares[i % kLanes] += y * y;
  }
  const double unit = static_cast<double>(scale) * static_cast<double>(scale);
  sums.squared_error += static_cast<double>(sum_of_lanes(errors)) * unit;
  sums.squares += static_cast<double>(sum_of_lanes(squares)) * unit;
  return true;
}

template <class Code>
std::size_t quantise(const float* values, std::size_t count, const BlockOptions& options,
                     std::uint16_t* scales, Code* codes, Sums& sums) {
  for (std::size_t begin = 0; begin < count; begin += options.block) {
    const std::size_t length = std::min(options.block, count - begin);
    if (!quantise_block(values + begin, length, options,
                        options.counter + static_cast<std::uint32_t>(begin),
                        scales[begin / options.block], codes + begin, sums)) {
      return begin;
    }
  }
  return count;
}

template <class Code>
void dequantise(const std::uint16_t* scales, const Code* codes, std::size_t count,
                const BlockOptions& options, float* values) {
  for (std::size_t begin = 0; begin < count; begin += options.block) {
    const std::size_t length = std::min(options.block, count - begin);
    const float scale =
        std::bit_cast<float>(static_cast<std::uint32_t>(scales[begin / options.block]) << 16);
    for (std::size_t i = begin; i < begin + length; ++i) {
      values[i] = static_cast<float>(codes[i]) * scale;
    }
    if (options.signs != nullptr && length == options.block) {
      butterflies(values + begin, length);
      flip_signs(values + begin, length, options.signs);
    }
  }
}

std::uint32_t scan(const float* values, std::size_t count, double& squares) {
  std::uint32_t largest = 0;
  std::array<double, kLanes> lanes{};
  for (std::size_t i = 0; i < count; ++i) {
    largest = std::max(largest, magnitude_of(values[i]));
    const auto wide = static_cast<double>(values[i]);
    lanes[i % kLanes] += wide * wide;  // the product is exact
  }
  squares += sum_of_lanes(lanes);
  return largest;
}

std::size_t count_at_least(const float* values, std::size_t count, std::uint32_t magnitude) {
  std::size_t found = 0;
  for (std::size_t i = 0; i < count; ++i) found += magnitude_of(values[i]) >= magnitude ? 1 : 0;
  return found;
}

std::size_t collect_at_least(const float* values, std::size_t count, std::uint32_t magnitude,
                             std::uint32_t first, std::uint32_t* out) {
  std::size_t found = 0;
  for (std::size_t i = 0; i < count; ++i) {
    out[found] = first + static_cast<std::uint32_t>(i);
    found += magnitude_of(values[i]) >= magnitude ? 1 : 0;
  }
  return found;
}

std::size_t collect_kept(const float* values, std::size_t count, Threshold& threshold,
                         std::uint32_t first, std::uint32_t* out) {
  std::size_t found = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const std::uint32_t magnitude = magnitude_of(values[i]);
    const bool tie = magnitude == threshold.magnitude && threshold.ties > 0;
    if (!tie && magnitude <= threshold.magnitude) continue;
    out[found++] = first + static_cast<std::uint32_t>(i);
    if (tie) --threshold.ties;
  }
  return found;
}

}  // namespace

const Kernels& scalar_kernels() {
  static constexpr Kernels table{{quantise<std::int8_t>, dequantise<std::int8_t>},
                                 {quantise<std::int16_t>, dequantise<std::int16_t>},
                                 scan,
                                 count_at_least,
                                 collect_at_least,
                                 collect_kept};
  return table;
}

}  // namespace longhaul::compression
