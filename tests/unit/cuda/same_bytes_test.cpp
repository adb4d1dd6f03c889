// The device makes the same bytes as the scalar code, whatever the rung, the size and the values.
#include "compression/cuda/device_codec.hpp"
#include "compression/random.hpp"
#include "tests/unit/compression/tensors.hpp"
#include "tests/unit/cuda/orders.hpp"

#include <bit>
#include <cmath>
#include <cstring>
#include <iterator>
#include <span>

namespace longhaul::compression::cuda {
namespace {

constexpr std::string_view kRungs[] = {"fp32",
                                       "bf16",
                                       "int16/128",
                                       "int16/32-rotated-stochastic",
                                       "int8/128",
                                       "int8/256-stochastic-packed",
                                       "int6/64",
                                       "int6/32-stochastic-packed",
                                       "int4/32-packed",
                                       "int4/64-rotated",
                                       "int4/128-rotated-stochastic-packed",
                                       "int3/32-rotated",
                                       "int3/64-packed",
                                       "int3/256-rotated-stochastic",
                                       "topk50%-int8-packed",
                                       "topk10%-int4-packed",
                                       "topk10%-fp32",
                                       "topk3%-bf16",
                                       "gtopk1%-int6",
                                       "gtopk25%-fp32",
                                       "topk25%-int16/64",
                                       "indexed1%"};

struct ScalarOnly {
  ScalarOnly() { use_only(InstructionSet::kScalar); }
  ~ScalarOnly() { use_only(std::nullopt); }
};

bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return std::ranges::equal(a, b, [](float x, float y) {
    return std::bit_cast<std::uint32_t>(x) == std::bit_cast<std::uint32_t>(y);
  });
}

template <class T>
std::vector<T> downloaded(const DeviceBuffer<T>& buffer) {
  std::vector<T> values(buffer.size());
  buffer.download_to(values);
  return values;
}

void check_decoded(DeviceCodec& codec, const Encoded& from, Shape shape,
                   const std::vector<float>& expected, const std::vector<std::uint32_t>& mask) {
  DeviceBuffer<float> out;
  out.resize(shape.elements());
  DeviceBuffer<std::uint32_t> found;
  const auto done = codec.decode(from.codec, from.payload.span(), shape, out.out(), &found);
  if (done.has_error()) FAIL(done.error().message);
  CHECK(same_bits(downloaded(out), expected));
  if (from.codec == Codec::kTopK) CHECK(downloaded(found) == mask);
}

void check_encoded(const Encoded& found, const Encoded& expected) {
  CHECK(found.codec == expected.codec);
  CHECK(bytes_of(found) == bytes_of(expected));
  CHECK(found.distortion.squared_error == expected.distortion.squared_error);
  CHECK(found.distortion.squares == expected.distortion.squares);
}

// Forward, and backward under the forward's mask.
void check_same(const std::vector<float>& values, Shape shape, const Rung& rung) {
  const ScalarOnly scalar;
  const Encoded expected = encoded(values, shape, rung);
  const std::vector<std::uint32_t> mask(expected.mask.span().begin(), expected.mask.span().end());
  DeviceCodec codec;
  DeviceBuffer<float> given(values);
  given.make_constant();
  Encoded found;
  DeviceBuffer<std::uint32_t> found_mask;
  const auto done = codec.encode(given.in(), shape, rung, 7, found, found_mask);
  if (done.has_error()) FAIL(done.error().message);
  check_encoded(found, expected);
  CHECK(downloaded(found_mask) == mask);
  check_decoded(codec, expected, shape, decoded(expected, shape), mask);

  if (expected.codec != Codec::kTopK) return;
  const Rung back = masked_values_of(rung);
  Workspace workspace;
  Encoded expected_back;
  REQUIRE(encode_masked(values, shape, mask, back, 9, workspace, expected_back).has_value());
  Encoded found_back;
  REQUIRE(codec.encode_masked(given.in(), shape, found_mask, back, 9, found_back).has_value());
  check_encoded(found_back, expected_back);
  std::vector<float> out(values.size());
  Buffer<std::uint32_t> host_mask;
  std::ranges::copy(mask, host_mask.resize(mask.size()).begin());
  REQUIRE(decode(expected_back.codec, expected_back.payload.span(), shape, std::span<float>(out),
                 &host_mask, workspace)
              .has_value());
  DeviceBuffer<float> device_out;
  device_out.resize(values.size());
  REQUIRE(codec
              .decode(expected_back.codec, expected_back.payload.span(), shape, device_out.out(),
                      &found_mask)
              .has_value());
  CHECK(same_bits(downloaded(device_out), out));
}

TEST_CASE("device: every rung, every kind of values, sizes around a block") {
  for (const std::string_view text : kRungs) {
    CAPTURE(text);
    for (const std::string_view kind : kKinds) {
      CAPTURE(kind);
      for (const std::size_t size : {0, 1, 31, 33, 63, 65, 127, 129, 255, 257}) {
        CAPTURE(size);
        const Shape shape{size == 0 ? 0U : 1U, size};
        check_same(tensor(kind, shape), shape, rung(text));
      }
    }
  }
}

TEST_CASE(
    "device: every rung, in each order of lanes, for rows and for pieces, groups and chunks") {
  in_each_order([] {
    for (const std::string_view text : kRungs) {
      CAPTURE(text);
      for (const Shape shape : {Shape{3, 1}, Shape{5, 96}, Shape{1, 4097}, Shape{40, 130}}) {
        CAPTURE(shape.rows);
        check_same(tensor("channels", shape), shape, rung(text));
      }
    }
  });
}

TEST_CASE("device: more rows than a tile, several groups of gaps, several chunks of codes") {
  for (const std::string_view text : {"topk50%-int4-packed", "gtopk25%-int8", "indexed10%"}) {
    CAPTURE(text);
    for (const std::string_view kind : {"channels", "ties", "sparse"}) {
      CAPTURE(kind);
      const Shape shape{1030, 13};
      check_same(tensor(kind, shape), shape, rung(text));
    }
  }
}

TEST_CASE("device: any shape, kind of values and rung, in a random order of lanes") {
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    CAPTURE(seed);
    auto number = [&, draw = 0U]() mutable { return hash(hash_key(seed), draw++); };
#if !defined(LONGHAUL_CUDA_KERNELS)
    set_order(Order::kRandom, seed);
#endif
    const Shape shape{1 + number() % 70, 1 + number() % 400};
    const std::string_view text = kRungs[number() % std::size(kRungs)];
    const std::string_view kind = kKinds[number() % std::size(kKinds)];
    CAPTURE(text);
    CAPTURE(kind);
    check_same(tensor(kind, shape, seed), shape, rung(text));
  }
#if !defined(LONGHAUL_CUDA_KERNELS)
  set_order(Order::kForward);
#endif
}

// A device does every rung; the emulation, which takes seconds for each, the cheapest of their
// kind, and fewer values for the selection from the whole tensor. Sanitizers would take minutes.
#if defined(LONGHAUL_CUDA_KERNELS)
constexpr std::span<const std::string_view> kLargeRungs = kRungs;
#else
constexpr std::string_view kLargeRungs[] = {"int8/256", "bf16"};
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr std::size_t kLarge = (std::size_t{1} << 18) + 3;
#else
constexpr std::size_t kLarge = (std::size_t{1} << 24) + 3;
#endif

TEST_CASE("device: 2^24 + 3 values") {
  const Shape shape{1, kLarge};
  const std::vector<float> values = tensor("channels", shape);
  for (const std::string_view text : kLargeRungs) {
    CAPTURE(text);
    check_same(values, shape, rung(text));
  }
}

TEST_CASE("device: the largest of a whole tensor, over many parts of it") {
  const Shape shape{1, kLarge / 16};
  check_same(tensor("channels", shape), shape, rung("gtopk1%-int4-packed"));
  check_same(tensor("ties", shape), shape, rung("gtopk25%-int3-packed"));
}

TEST_CASE("device: every rung, many blocks and an odd rest") {
  const Shape shape{1, (std::size_t{1} << 13) + 3};
  const std::vector<float> values = tensor("wide", shape);
  for (const std::string_view text : kRungs) {
    CAPTURE(text);
    check_same(values, shape, rung(text));
  }
}

TEST_CASE("device: bfloat16 tensors") {
  const ScalarOnly scalar;
  const Shape shape{9, 70};
  const std::vector<float> values = tensor("channels", shape);
  std::vector<Bf16> narrow(values.size());
  std::vector<std::uint16_t> bits(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    bits[i] = static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(values[i]) >> 16);
    narrow[i].bits = bits[i];
  }
  DeviceCodec codec;
  const DeviceBuffer<std::uint16_t> given(bits);
  for (const std::string_view text :
       {"fp32", "bf16", "int16/128", "int8/128", "topk10%-int4", "indexed10%", "topk50%-fp32"}) {
    CAPTURE(text);
    Workspace workspace;
    Encoded expected;
    REQUIRE(encode(std::span<const Bf16>(narrow), shape, rung(text), 7, workspace, expected)
                .has_value());
    Encoded found;
    DeviceBuffer<std::uint32_t> mask;
    REQUIRE(codec.encode(given.in(), shape, rung(text), 7, found, mask).has_value());
    check_encoded(found, expected);
    std::vector<Bf16> out(values.size());
    Buffer<std::uint32_t> host_mask;
    REQUIRE(decode(expected.codec, expected.payload.span(), shape, std::span<Bf16>(out), &host_mask,
                   workspace)
                .has_value());
    DeviceBuffer<std::uint16_t> device_out;
    device_out.resize(values.size());
    REQUIRE(codec.decode(expected.codec, expected.payload.span(), shape, device_out.out(), &mask)
                .has_value());
    const auto back = downloaded(device_out);
    CHECK(std::ranges::equal(back, out, {}, {}, [](Bf16 value) { return value.bits; }));
  }
}

TEST_CASE("device: a refused value is named as the host names it") {
  const Shape shape{7, 90};
  for (const float bad : {NAN, -INFINITY, 0x1p100F}) {
    for (const std::size_t at : {0, 333, 629}) {
      std::vector<float> values = tensor("normal", shape);
      values[at] = bad;
      values[629] = bad;
      const DeviceBuffer<float> given(values);
      for (const std::string_view text :
           {"bf16", "int16/128", "int4/64-rotated", "topk10%-int8", "gtopk1%-fp32", "indexed1%"}) {
        CAPTURE(text);
        Workspace workspace;
        Encoded out;
        const auto expected = encode(values, shape, rung(text), 7, workspace, out);
        DeviceCodec codec;
        DeviceBuffer<std::uint32_t> mask;
        const auto found = codec.encode(given.in(), shape, rung(text), 7, out, mask);
        REQUIRE(expected.has_error());
        REQUIRE(found.has_error());
        CHECK(found.error().message == expected.error().message);
      }
    }
  }
}

// Both must come to the same verdict, and to the same values where they accept.
TEST_CASE("device: foreign payloads are refused where the host refuses them") {
  const Shape shape{6, 50};
  DeviceCodec codec;
  Workspace workspace;
  std::uint64_t seed = 1;
  for (const std::string_view text :
       {"int4/32-packed", "int3/32-rotated", "topk10%-int4-packed", "int3/64-packed",
        "topk50%-bf16", "gtopk25%-fp32", "indexed10%", "bf16", "int16/32-rotated"}) {
    CAPTURE(text);
    const Encoded sound = encoded(tensor("channels", shape), shape, rung(text));
    for (int change = 0; change < 60; ++change) {
      std::vector<std::byte> payload = bytes_of(sound);
      const std::uint64_t random = mix64(seed++);
      CAPTURE(seed);
      if (change % 4 == 3) {
        payload.resize(random % payload.size());
      } else {
        const std::size_t head = std::min<std::size_t>(payload.size(), change % 2 == 0 ? 40 : 4000);
        payload[random % head] ^= static_cast<std::byte>(1U << (random >> 32) % 8);
      }
      std::vector<float> out(shape.elements());
      Buffer<std::uint32_t> host_mask;
      const auto expected =
          decode(sound.codec, payload, shape, std::span<float>(out), &host_mask, workspace);
      DeviceBuffer<float> device_out;
      device_out.resize(shape.elements());
      DeviceBuffer<std::uint32_t> mask;
      const auto found = codec.decode(sound.codec, payload, shape, device_out.out(), &mask);
      REQUIRE(found.has_value() == expected.has_value());
      if (found.has_value()) CHECK(same_bits(downloaded(device_out), out));
    }
  }
}

}  // namespace
}  // namespace longhaul::compression::cuda
