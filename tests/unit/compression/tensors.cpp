// How the tensors are filled: from the counter-based generator, so that they are the same anywhere.
#include "tests/unit/compression/tensors.hpp"

#include "compression/random.hpp"

#include <bit>
#include <cmath>

namespace longhaul::compression {
namespace {

// Numbers of one seed, each used once.
class Numbers {
 public:
  explicit Numbers(std::uint64_t seed) : key_(hash_key(seed)) {}

  std::uint32_t bits() { return hash(key_, counter_++); }
  float uniform() { return static_cast<float>(bits() >> 8) * 0x1p-24F; }
  // About normal: twelve uniform numbers less their mean.
  float normal() {
    float sum = -6.0F;
    for (int i = 0; i < 12; ++i) sum += uniform();
    return sum;
  }

 private:
  HashKey key_;
  std::uint32_t counter_ = 0;
};

float value(std::string_view kind, std::size_t column, Numbers& numbers) {
  if (kind == "normal") return numbers.normal();
  if (kind == "channels") return numbers.normal() * (mix64(column) % 16 == 0 ? 20.0F : 1.0F);
  if (kind == "zeros") return numbers.bits() % 2 == 0 ? 0.0F : -0.0F;
  if (kind == "equal") return -1.25F;
  if (kind == "ties") {
    const auto step = static_cast<float>(1 + numbers.bits() % 4);
    return numbers.bits() % 2 == 0 ? step : -step;
  }
  if (kind == "subnormal") {
    if (numbers.bits() % 97 == 0) return 0x1p-90F * numbers.normal();
    return std::bit_cast<float>(numbers.bits() & 0x807fffffU);
  }
  if (kind == "sparse") return numbers.bits() % 10 != 0 ? 0.0F : numbers.normal();
  REQUIRE(kind == "wide");
  return std::ldexp(numbers.normal() / 8.0F, static_cast<int>(numbers.bits() % 199) - 99);
}

}  // namespace

std::vector<float> tensor(std::string_view kind, Shape shape, std::uint64_t seed) {
  Numbers numbers(seed);
  std::vector<float> values(shape.elements());
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = value(kind, i % shape.columns, numbers);
  }
  return values;
}

Rung rung(std::string_view name) {
  const auto parsed = parse_rung(name);
  if (parsed.has_error()) FAIL(parsed.error().message);
  return parsed.value();
}

Encoded encoded(const std::vector<float>& values, Shape shape, const Rung& rung,
                std::uint64_t key) {
  Workspace workspace;
  Encoded out;
  const auto done = encode(values, shape, rung, key, workspace, out);
  if (done.has_error()) FAIL(done.error().message);
  return out;
}

std::vector<float> decoded(const Encoded& from, Shape shape, Buffer<std::uint32_t>* mask) {
  Workspace workspace;
  std::vector<float> values(shape.elements(), 99.0F);
  const auto done =
      decode(from.codec, from.payload.span(), shape, std::span<float>(values), mask, workspace);
  if (done.has_error()) FAIL(done.error().message);
  return values;
}

std::string refusal(Codec codec, std::span<const std::byte> payload, Shape shape) {
  Workspace workspace;
  std::vector<float> values(shape.elements());
  Buffer<std::uint32_t> mask;
  const auto done = decode(codec, payload, shape, std::span<float>(values), &mask, workspace);
  REQUIRE(done.has_error());
  return done.error().message;
}

std::vector<std::byte> bytes_of(const Encoded& encoded) {
  return {encoded.payload.span().begin(), encoded.payload.span().end()};
}

std::vector<InstructionSet> instruction_sets() {
  std::vector<InstructionSet> sets;
  for (const auto set : {InstructionSet::kScalar, InstructionSet::kAvx2, InstructionSet::kAvx512}) {
    if (kernels_for(set) != nullptr) sets.push_back(set);
  }
  return sets;
}

}  // namespace longhaul::compression
