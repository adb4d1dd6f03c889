// Every instruction set makes the same bytes, whatever the rung, the size and the values.
#include "tests/unit/compression/tensors.hpp"

#include <bit>
#include <cmath>

namespace longhaul::compression {
namespace {

constexpr std::string_view kRungs[] = {"bf16",
                                       "int16/128",
                                       "int16/32-rotated-stochastic",
                                       "int8/128",
                                       "int8/256-stochastic",
                                       "int6/64",
                                       "int4/32-packed",
                                       "int4/64-rotated",
                                       "int4/128-rotated-stochastic-packed",
                                       "int3/32-rotated",
                                       "int3/256-rotated-stochastic",
                                       "topk50%-int8-packed",
                                       "topk10%-int4-packed",
                                       "topk10%-fp32",
                                       "topk3%-bf16",
                                       "gtopk1%-int6",
                                       "gtopk25%-fp32",
                                       "topk25%-int16/64",
                                       "indexed1%"};

struct Restored {
  ~Restored() { use_only(std::nullopt); }
};

// Encodes and decodes under each set and compares with the scalar kernels.
void check_same(const std::vector<float>& values, Shape shape, const Rung& rung) {
  const Restored restored;
  use_only(InstructionSet::kScalar);
  const Encoded expected = encoded(values, shape, rung);
  const std::vector<float> back = decoded(expected, shape);
  CHECK(expected.payload.size() <= 4 * values.size());
  for (const InstructionSet set : instruction_sets()) {
    CAPTURE(static_cast<int>(set));
    use_only(set);
    const Encoded found = encoded(values, shape, rung);
    CHECK(found.codec == expected.codec);
    CHECK(bytes_of(found) == bytes_of(expected));
    CHECK(std::ranges::equal(found.mask.span(), expected.mask.span()));
    CHECK(found.distortion.squared_error == expected.distortion.squared_error);
    CHECK(found.distortion.squares == expected.distortion.squares);
    const std::vector<float> other = decoded(found, shape);
    CHECK(std::ranges::equal(other, back, [](float a, float b) {
      return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b);
    }));
  }
}

TEST_CASE("same bytes: this processor runs more than the scalar kernels") {
#if defined(__x86_64__)
  WARN(instruction_sets().size() > 1);
#endif
  CHECK(kernels_for(InstructionSet::kScalar) == &scalar_kernels());
}

TEST_CASE("same bytes: every rung, every kind of values, awkward sizes") {
  for (const std::string_view text : kRungs) {
    CAPTURE(text);
    const Rung wanted = rung(text);
    for (const std::string_view kind : kKinds) {
      CAPTURE(kind);
      for (const std::size_t size :
           {0, 1, 2, 7, 15, 17, 31, 33, 63, 65, 127, 129, 255, 257, 1000, 4095, 4097, 9001}) {
        CAPTURE(size);
        const Shape shape{size == 0 ? 0U : 1U, size};
        check_same(tensor(kind, shape), shape, wanted);
      }
      for (const Shape shape : {Shape{3, 1}, Shape{5, 96}, Shape{1030, 13}, Shape{40, 768}}) {
        CAPTURE(shape.rows);
        check_same(tensor(kind, shape), shape, wanted);
      }
    }
  }
}

TEST_CASE("same bytes: 2^24 + 3 values") {
  const Shape shape{1, (std::size_t{1} << 24) + 3};
  const std::vector<float> values = tensor("wide", shape);
  for (const std::string_view text :
       {"int16/128", "int4/64-rotated-stochastic", "gtopk1%-int4-packed"}) {
    CAPTURE(text);
    check_same(values, shape, rung(text));
  }
}

}  // namespace
}  // namespace longhaul::compression
