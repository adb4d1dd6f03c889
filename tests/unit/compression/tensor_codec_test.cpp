// What encode and decode promise: errors in bounds, exact selection, distortion, fall-backs.
#include "tests/unit/compression/tensors.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace longhaul::compression {
namespace {

constexpr Shape kShape{64, 768};

double squared_difference(const std::vector<float>& a, const std::vector<float>& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = static_cast<double>(a[i]) - static_cast<double>(b[i]);
    sum += difference * difference;
  }
  return sum;
}

double squares(const std::vector<float>& a) {
  return squared_difference(a, std::vector<float>(a.size(), 0.0F));
}

// The k largest of [begin, begin + count), by sorting; ties to the lower index.
std::vector<std::uint32_t> reference_top_k(const std::vector<float>& values, std::size_t begin,
                                           std::size_t count, std::size_t k) {
  std::vector<std::uint32_t> order(count);
  std::iota(order.begin(), order.end(), static_cast<std::uint32_t>(begin));
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return std::fabs(values[a]) > std::fabs(values[b]);
  });
  order.resize(k);
  return order;
}

std::vector<std::uint32_t> sorted_mask(const Encoded& encoded) {
  std::vector<std::uint32_t> mask(encoded.mask.span().begin(), encoded.mask.span().end());
  std::ranges::sort(mask);
  return mask;
}

TEST_CASE("codec: the distortion returned is the one that decoding shows") {
  for (const std::string_view text :
       {"bf16", "int16/128", "int8/128", "int6/64", "int4/64", "int4/64-rotated",
        "int3/32-stochastic", "topk25%-int16/128", "topk25%-int8-packed", "topk10%-int4-packed",
        "gtopk5%-bf16", "topk100%-int4", "indexed1%"}) {
    CAPTURE(text);
    for (const std::string_view kind : {"normal", "channels"}) {
      const std::vector<float> values = tensor(kind, kShape);
      const Encoded sent = encoded(values, kShape, rung(text));
      CHECK(sent.payload.size() < 4 * values.size());
      CHECK(sent.distortion.squares == doctest::Approx(squares(values)).epsilon(1e-6));
      CHECK(sent.distortion.squared_error ==
            doctest::Approx(squared_difference(values, decoded(sent, kShape))).epsilon(1e-4));
    }
  }
}

TEST_CASE("blocks: no value is off by more than half a step, a whole one if stochastic") {
  for (const auto& [text, steps, levels] : {std::tuple{"int16/128", 0.5, 32767},
                                            {"int8/128", 0.5, 127},
                                            {"int6/32", 0.5, 31},
                                            {"int4/64", 0.5, 7},
                                            {"int3/32", 0.5, 3},
                                            {"int4/64-stochastic", 1.0, 7}}) {
    CAPTURE(text);
    const Rung wanted = rung(text);
    const std::vector<float> values = tensor("wide", kShape);
    const std::vector<float> back = decoded(encoded(values, kShape, wanted), kShape);
    double worst = 0.0;
    for (std::size_t begin = 0; begin < values.size(); begin += wanted.block) {
      float largest = 0.0F;
      for (std::size_t i = 0; i < wanted.block; ++i) {
        largest = std::max(largest, std::fabs(values[begin + i]));
      }
      for (std::size_t i = 0; i < wanted.block; ++i) {
        const double off = std::fabs(double{values[begin + i]} - double{back[begin + i]});
        worst = std::max(worst, off / (double{largest} / levels));
      }
    }
    CHECK(worst <= steps * 1.01);  // a scale is rounded up by less than 2^-7
    CHECK(worst > steps * 0.9);
  }
}

// To the nearest binary16, whose numbers below 2^-14 are multiples of 2^-24; `value` is below 2^15.
float as_fp16(float value) {
  const int exponent = std::max(std::ilogb(value), -14);
  const float step = std::ldexp(1.0F, exponent - 10);
  return value == 0.0F ? value : std::nearbyint(value / step) * step;
}

TEST_CASE("blocks: 16 bits lose less than IEEE half precision does, in as many bytes and scales") {
  for (const std::string_view kind : {"normal", "channels", "sparse", "ties"}) {
    CAPTURE(kind);
    const std::vector<float> values = tensor(kind, kShape);
    std::vector<float> halves(values.size());
    std::ranges::transform(values, halves.begin(), as_fp16);
    const Encoded sent = encoded(values, kShape, rung("int16/128"));
    CHECK(sent.codec == Codec::kBlocks);
    CHECK(sent.payload.size() == 8 + 2 * values.size() + values.size() / 64);
    if (kind == "ties") continue;  // small whole numbers, which half precision has exactly
    CHECK(squared_difference(values, decoded(sent, kShape)) <
          0.1 * squared_difference(values, halves));
  }
}

TEST_CASE("blocks: stochastic rounding is right on average, and other keys make other bytes") {
  const Shape shape{1, 64};
  const std::vector<float> values = tensor("normal", shape);
  std::vector<double> mean(64, 0.0);
  constexpr int kDraws = 4000;
  for (int key = 0; key < kDraws; ++key) {
    const auto back = decoded(
        encoded(values, shape, rung("int4/64-stochastic"), static_cast<std::uint64_t>(key)), shape);
    for (std::size_t i = 0; i < 64; ++i) mean[i] += double{back[i]} / kDraws;
  }
  const double step = 3.0 / 7;
  for (std::size_t i = 0; i < 64; ++i) {
    CAPTURE(i);
    CHECK(std::fabs(mean[i] - double{values[i]}) < 5 * 0.5 * step / std::sqrt(kDraws));
  }
  const auto first = encoded(values, shape, rung("int4/64-stochastic"), 1);
  const auto again = encoded(values, shape, rung("int4/64-stochastic"), 1);
  const auto other = encoded(values, shape, rung("int4/64-stochastic"), 2);
  CHECK(bytes_of(first) == bytes_of(again));
  CHECK(bytes_of(first) != bytes_of(other));
}

TEST_CASE("blocks: rotation spreads an outlier, so that the rest of its block survives") {
  std::vector<float> values = tensor("normal", kShape);
  for (std::size_t i = 0; i < values.size(); i += 64) values[i] = 100.0F;
  const auto plain = encoded(values, kShape, rung("int4/64"));
  const auto rotated = encoded(values, kShape, rung("int4/64-rotated"));
  CHECK(rotated.distortion.squared_error < 0.7 * plain.distortion.squared_error);
}

TEST_CASE("top-k: exactly the largest of each row, equal magnitudes keep the lower index") {
  for (const std::string_view kind : kKinds) {
    CAPTURE(kind);
    for (const Shape shape : {Shape{7, 768}, Shape{3, 4096}, Shape{1, 5}, Shape{1100, 20}}) {
      CAPTURE(shape.columns);
      const std::vector<float> values = tensor(kind, shape);
      const Encoded sent = encoded(values, shape, rung("topk10%-int8"));
      const std::size_t k = kept_entries(100'000'000, shape.columns);
      if (sent.codec != Codec::kTopK) continue;
      std::vector<std::uint32_t> expected;
      for (std::size_t row = 0; row < shape.rows; ++row) {
        const auto kept = reference_top_k(values, row * shape.columns, shape.columns, k);
        expected.insert(expected.end(), kept.begin(), kept.end());
      }
      std::ranges::sort(expected);
      CHECK(sorted_mask(sent) == expected);
    }
  }
}

TEST_CASE("top-k: exactly the largest of the whole tensor, small and sampled") {
  for (const std::string_view kind : kKinds) {
    CAPTURE(kind);
    for (const Shape shape : {Shape{1, 1000}, Shape{50, 77}, Shape{300, 700}}) {
      const std::vector<float> values = tensor(kind, shape);
      for (const std::uint32_t permille : {1, 10, 100, 250}) {
        CAPTURE(permille);
        Rung wanted = rung("gtopk1%-bf16");
        wanted.density = permille * 1'000'000;
        const Encoded sent = encoded(values, shape, wanted);
        REQUIRE(sent.codec == Codec::kTopK);
        auto expected =
            reference_top_k(values, 0, values.size(), kept_entries(wanted.density, values.size()));
        std::ranges::sort(expected);
        CHECK(sorted_mask(sent) == expected);
      }
    }
  }
}

TEST_CASE("top-k: with fp32 values the entries kept come back as they were, all others as zero") {
  const std::vector<float> values = tensor("channels", kShape);
  const Encoded sent = encoded(values, kShape, rung("topk10%-fp32"));
  Buffer<std::uint32_t> mask;
  const std::vector<float> back = decoded(sent, kShape, &mask);
  CHECK(std::ranges::equal(mask.span(), sent.mask.span()));
  std::vector<float> expected(values.size(), 0.0F);
  for (const std::uint32_t at : sent.mask.span()) expected[at] = values[at];
  CHECK(back == expected);
}

TEST_CASE("masked values: the gradient at the forward's entries comes back, zero elsewhere") {
  const std::vector<float> forward = tensor("channels", kShape);
  const std::vector<float> gradient = tensor("normal", kShape, 5);
  const Rung wanted = rung("topk10%-fp32");
  const Encoded there = encoded(forward, kShape, wanted);
  Buffer<std::uint32_t> mask;  // as the receiver of the forward gets it
  (void)decoded(there, kShape, &mask);
  Workspace workspace;
  Encoded back;
  for (const std::string_view text : {"fp32", "bf16", "int16/128", "int8/128", "int4/64-packed"}) {
    CAPTURE(text);
    REQUIRE(encode_masked(std::span<const float>(gradient), kShape, mask.span(), rung(text), 3,
                          workspace, back)
                .has_value());
    CHECK(back.codec == Codec::kMasked);
    CHECK(back.payload.size() <= 4 + 4 * mask.size());
    Buffer<std::uint32_t> known;
    std::ranges::copy(there.mask.span(), known.resize(there.mask.size()).begin());
    const std::vector<float> got = decoded(back, kShape, &known);
    std::vector<float> expected(gradient.size(), 0.0F);
    for (const std::uint32_t at : mask.span()) expected[at] = gradient[at];
    if (text == "fp32") CHECK(got == expected);
    CHECK(back.distortion.squares == doctest::Approx(squares(expected)).epsilon(1e-5));
    CHECK(back.distortion.squared_error ==
          doctest::Approx(squared_difference(expected, got)).epsilon(1e-4));
  }
}

TEST_CASE("codec: where a rung's payload would not be smaller, the dense tensor goes out") {
  const Shape shape{1, 3};
  const std::vector<float> values{1.0F, -2.0F, 3.0F};
  for (const std::string_view text : {"int8/128", "int16/128", "topk50%-fp32", "indexed50%"}) {
    CAPTURE(text);
    const Encoded sent = encoded(values, shape, rung(text));
    CHECK(sent.codec == Codec::kDenseFp32);
    CHECK(sent.payload.size() == 12);
    CHECK(sent.mask.empty());
    CHECK(decoded(sent, shape) == values);
    CHECK(sent.distortion.squared_error == 0.0);
  }
  Workspace workspace;
  Encoded out;
  const std::uint32_t mask[] = {0, 2};
  REQUIRE(
      encode_masked(std::span<const float>(values), shape, mask, rung("fp32"), 0, workspace, out)
          .has_value());
  CHECK(out.codec == Codec::kDenseFp32);  // 4 + 8 bytes are no less than 12
  CHECK(decoded(out, shape) == std::vector<float>{1.0F, 0.0F, 3.0F});
  // FusionLLM's format at a third is as large as the tensor.
  const std::vector<float> many = tensor("normal", kShape);
  CHECK(encoded(many, kShape, rung("indexed34%")).codec == Codec::kDenseFp32);
  CHECK(encoded(many, kShape, rung("indexed33%")).codec == Codec::kIndexed);
}

TEST_CASE("codec: bfloat16 tensors travel under every rung, and are dense at 2 bytes") {
  const std::vector<float> values = tensor("channels", kShape);
  std::vector<Bf16> narrow(values.size());
  std::vector<float> wide(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    narrow[i].bits = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(values[i]) >> 16);
    wide[i] = std::bit_cast<float>(std::uint32_t{narrow[i].bits} << 16);
  }
  Workspace workspace;
  Encoded out;
  for (const std::string_view text : {"fp32", "bf16", "int16/128", "int8/128",
                                      "topk10%-int4-packed", "topk25%-bf16", "indexed10%"}) {
    CAPTURE(text);
    REQUIRE(
        encode(std::span<const Bf16>(narrow), kShape, rung(text), 7, workspace, out).has_value());
    CHECK(out.payload.size() <= 2 * values.size());
    // Codes of 16 bits and their scales would be more than the tensor.
    const bool dense = text == "fp32" || text == "bf16" || text == "int16/128";
    CHECK((out.codec == Codec::kDenseBf16) == dense);
    if (!dense) CHECK(bytes_of(out) == bytes_of(encoded(wide, kShape, rung(text))));
    std::vector<Bf16> back(values.size());
    REQUIRE(decode(out.codec, out.payload.span(), kShape, std::span<Bf16>(back), nullptr, workspace)
                .has_value());
    const std::vector<float> floats = decoded(out, kShape);
    for (std::size_t i = 0; i < back.size(); i += 101) {
      const float got = std::bit_cast<float>(std::uint32_t{back[i].bits} << 16);
      CHECK(std::fabs(got - floats[i]) <= std::fabs(floats[i]) / 256);
    }
  }
}

TEST_CASE("codec: a NaN, an infinity and 2^100 are refused and named, under every lossy rung") {
  const float bad[] = {std::numeric_limits<float>::quiet_NaN(),
                       -std::numeric_limits<float>::infinity(), 0x1p100F};
  const std::string_view words[] = {"is not a number", "is infinite", "2^100 or more"};
  for (const std::string_view text : {"bf16", "int16/128", "int8/128", "int4/64-rotated",
                                      "topk10%-int4", "gtopk1%-fp32", "indexed1%"}) {
    CAPTURE(text);
    for (std::size_t i = 0; i < 3; ++i) {
      std::vector<float> values = tensor("normal", kShape);
      values[33 * 768 + 700] = bad[i];
      Workspace workspace;
      Encoded out;
      const auto done = encode(values, kShape, rung(text), 0, workspace, out);
      REQUIRE(done.has_error());
      CHECK(done.error().message.find("row 33, column 700") != std::string::npos);
      CHECK(done.error().message.find(words[i]) != std::string::npos);
      const std::uint32_t mask[] = {5, 33 * 768 + 700};
      const auto masked = encode_masked(std::span<const float>(values), kShape, mask,
                                        rung("int8/128"), 0, workspace, out);
      REQUIRE(masked.has_error());
      CHECK(masked.error().message.find("row 33, column 700") != std::string::npos);
    }
  }
}

TEST_CASE("codec: memory is kept from call to call") {
  const std::vector<float> values = tensor("normal", kShape);
  Workspace workspace;
  Encoded out;
  REQUIRE(encode(values, kShape, rung("topk10%-int4-packed"), 1, workspace, out).has_value());
  const auto* payload = out.payload.data();
  const auto* mask = out.mask.data();
  const std::vector<std::byte> bytes = bytes_of(out);
  REQUIRE(encode(values, kShape, rung("topk10%-int4-packed"), 1, workspace, out).has_value());
  CHECK(out.payload.data() == payload);
  CHECK(out.mask.data() == mask);
  CHECK(bytes_of(out) == bytes);
}

}  // namespace
}  // namespace longhaul::compression
