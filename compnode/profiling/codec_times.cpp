// The least of a few runs each: codecs are short.
#include "compnode/profiling/codec_times.hpp"

#include "compression/tensor_codec.hpp"
#include "proto/assert.hpp"

#include <algorithm>
#include <chrono>
#include <limits>
#include <random>

namespace longhaul::compnode {
namespace {

constexpr int kRuns = 5;
constexpr std::uint64_t kKey = 1;

template <class Work>
double least_s(const Work& work) {
  double least = std::numeric_limits<double>::infinity();
  for (int i = 0; i < kRuns; ++i) {
    const auto start = std::chrono::steady_clock::now();
    work();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    least = std::min(least, took.count());
  }
  return least;
}

}  // namespace

std::vector<CodecTimes> measure_codecs(std::size_t rows, std::size_t columns) {
  const compression::Shape shape{.rows = rows, .columns = columns};
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(shape.elements());
  std::ranges::generate(values, [&] { return normal(random); });
  std::vector<float> decoded(values.size());
  compression::Workspace workspace;
  compression::Encoded encoded;
  compression::Buffer<std::uint32_t> mask;
  std::vector<CodecTimes> times;
  const auto entries = static_cast<double>(values.size());
  for (const compression::Rung& rung : compression::default_ladder()) {
    if (rung == compression::Rung{}) continue;
    const double encode_s = least_s([&] {
      LONGHAUL_ASSERT(
          compression::encode(std::span<const float>(values), shape, rung, kKey, workspace, encoded)
              .has_value());
    });
    const double decode_s = least_s([&] {
      LONGHAUL_ASSERT(compression::decode(encoded.codec, encoded.payload.span(), shape,
                                          std::span<float>(decoded), &mask, workspace)
                          .has_value());
    });
    times.push_back({.rung = rung,
                     .encode_s = encode_s / entries,
                     .decode_s = decode_s / entries,
                     .bits = 8.0 * static_cast<double>(encoded.payload.size()) / entries});
  }
  return times;
}

}  // namespace longhaul::compnode
