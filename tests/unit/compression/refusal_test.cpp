// Foreign payloads that lie: each is refused with the reason, and none reads past its end.
#include "tests/unit/compression/tensors.hpp"

#include <cstring>
#include <limits>
#include <memory>

namespace longhaul::compression {
namespace {

constexpr Shape kShape{20, 256};

struct Sample {
  std::string_view rung;
  Codec codec;
};
constexpr Sample kSamples[] = {
    {"int16/128-rotated", Codec::kBlocks}, {"int8/128", Codec::kBlocks},
    {"int4/64-rotated", Codec::kBlocks},   {"int4/64-packed", Codec::kBlocks},
    {"topk10%-int4-packed", Codec::kTopK}, {"topk10%-fp32", Codec::kTopK},
    {"gtopk5%-int3", Codec::kTopK},        {"indexed5%", Codec::kIndexed}};

std::vector<std::byte> payload_of(std::string_view name) {
  return bytes_of(encoded(tensor("channels", kShape), kShape, rung(name)));
}

bool refuses(Codec codec, std::span<const std::byte> payload, Shape shape) {
  // Memory of exactly this length, so that a sanitizer sees a read past it.
  const auto copy = std::make_unique<std::byte[]>(payload.size());
  std::copy(payload.begin(), payload.end(), copy.get());
  Workspace workspace;
  Buffer<std::uint32_t> mask;
  std::vector<float> out(shape.elements());
  return decode(codec, {copy.get(), payload.size()}, shape, std::span<float>(out), &mask, workspace)
      .has_error();
}

TEST_CASE("refusal: every truncation, and a byte too many") {
  for (const Sample& sample : kSamples) {
    CAPTURE(sample.rung);
    auto payload = payload_of(sample.rung);
    CHECK_FALSE(refuses(sample.codec, payload, kShape));
    for (std::size_t length = 0; length < payload.size(); ++length) {
      const bool refused = refuses(sample.codec, std::span(payload).first(length), kShape);
      // Whole entries fewer are an indexed payload too.
      if (sample.codec != Codec::kIndexed) CHECK(refused);
    }
    payload.push_back(std::byte{0});
    CHECK(refuses(sample.codec, payload, kShape));
  }
}

TEST_CASE("refusal: another shape than the payload's") {
  for (const Sample& sample : kSamples) {
    CAPTURE(sample.rung);
    const auto payload = payload_of(sample.rung);
    CHECK(refuses(sample.codec, payload, {1, 100}));
    if (sample.codec == Codec::kTopK || sample.codec == Codec::kIndexed) continue;
    CHECK(refuses(sample.codec, payload, {20, 257}));
    CHECK(refuses(sample.codec, payload, {0, 256}));
  }
}

TEST_CASE("refusal: headers that are not known or contradict themselves") {
  auto payload = payload_of("int8/128");
  const auto with = [&](std::size_t at, int byte) {
    auto changed = payload;
    changed[at] = static_cast<std::byte>(byte);
    return changed;
  };
  CHECK(refusal(Codec::kBlocks, with(0, 5), kShape).find("format 5") != std::string::npos);
  CHECK(refusal(Codec::kBlocks, with(1, 4), kShape).find("2^4") != std::string::npos);
  CHECK(refusal(Codec::kBlocks, with(1, 9), kShape).find("2^9") != std::string::npos);
  CHECK(refusal(Codec::kBlocks, with(2, 4), kShape).find("flags") != std::string::npos);
  CHECK(refusal(Codec::kBlocks, with(3, 1), kShape).find("flags") != std::string::npos);
  CHECK(refusal(Codec::kBlocks, with(0, 32), kShape).find("2^7") != std::string::npos);
  CHECK(refusal(Codec::kBlocks, with(0, 17), kShape).find("bytes of codes") != std::string::npos);
  CHECK(refusal(Codec::kBlocks, with(9, 0xff), kShape).find("scale of block 0") !=
        std::string::npos);
  payload = payload_of("int16/128");
  CHECK(refusal(Codec::kBlocks, with(2, 1), kShape).find("flags") != std::string::npos);
  CHECK(refusal(Codec::kBlocks, with(0, 16), kShape).find("2^7") != std::string::npos);
  CHECK(refusal(Codec::kBlocks, with(9, 0xff), kShape).find("scale of block 0") !=
        std::string::npos);
  payload = payload_of("topk10%-fp32");
  CHECK(refusal(Codec::kTopK, with(5, 1), kShape).find("more than a tensor") != std::string::npos);
  CHECK(refusal(Codec::kTopK, with(4, 27), kShape).find("index section") != std::string::npos);
  CHECK(refusal(Codec::kTopK, with(8, 1), kShape).find("index section") != std::string::npos);
  CHECK(refusal(Codec::kTopK, with(11, 0x7f), kShape).find("index section") != std::string::npos);
  CHECK(refusal(Codec::kTopK, with(2, 1), kShape).find("flags") != std::string::npos);
  CHECK(refusal(Codec::kTopK, with(12, 63), kShape).find("parameter 63") != std::string::npos);
}

TEST_CASE("refusal: NaN and infinity in values that are sent as they are") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  auto payload = payload_of("topk10%-fp32");
  std::memcpy(payload.data() + payload.size() - 4, &nan, 4);
  CHECK(refusal(Codec::kTopK, payload, kShape).find("NaN") != std::string::npos);
  payload = payload_of("indexed5%");
  std::memcpy(payload.data(), &nan, 4);
  CHECK(refusal(Codec::kIndexed, payload, kShape).find("not finite") != std::string::npos);
}

TEST_CASE("refusal: indices that repeat, descend or are outside") {
  const auto payload = payload_of("indexed5%");
  const std::size_t k = payload.size() / 12;
  for (const std::uint64_t index : {std::uint64_t{0}, std::uint64_t{5120}, ~std::uint64_t{0}}) {
    CAPTURE(index);
    auto changed = payload;
    std::memcpy(changed.data() + 4 * k + 8 * (k / 2), &index, 8);
    CHECK(refusal(Codec::kIndexed, changed, kShape).find("does not ascend") != std::string::npos);
  }
}

TEST_CASE("refusal: codecs that this tensor cannot have") {
  const auto payload = payload_of("int8/128");
  Workspace workspace;
  std::vector<float> floats(kShape.elements());
  std::vector<Bf16> narrow(kShape.elements());
  const std::vector<std::byte> dense(4 * kShape.elements());
  CHECK(refusal(Codec::kIntegers, payload, kShape).find("integers") != std::string::npos);
  CHECK(decode(Codec::kMasked, payload, kShape, std::span<float>(floats), nullptr, workspace)
            .has_error());
  CHECK(decode(Codec::kDenseFp32, dense, kShape, std::span<Bf16>(narrow), nullptr, workspace)
            .has_error());
  CHECK(decode(Codec::kDenseFp32, dense, {21, 256}, std::span<float>(floats), nullptr, workspace)
            .has_error());
  const Shape huge{std::size_t{1} << 40, std::size_t{1} << 40};
  CHECK(decode(Codec::kBlocks, payload, huge, std::span<float>(), nullptr, workspace).has_error());
}

}  // namespace
}  // namespace longhaul::compression
