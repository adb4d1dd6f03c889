// The search for NaN and infinity in tensors that go out as they are.
#include "compression/finite.hpp"

#include <doctest/doctest.h>

#include <limits>
#include <string>
#include <vector>

namespace longhaul::compression {
namespace {

TEST_CASE("finite: the first value that is not is named by row and column") {
  for (const std::size_t size : {0, 1, 7, 4095, 4096, 4097, 9000}) {
    CAPTURE(size);
    std::vector<float> values(size, std::numeric_limits<float>::max());
    std::vector<Bf16> narrow(size, Bf16{0x7f7f});
    CHECK(check_finite(std::span<const float>(values), 100).has_value());
    CHECK(check_finite(std::span<const Bf16>(narrow), 100).has_value());
    if (size == 0) continue;
    values[size - 1] = -std::numeric_limits<float>::infinity();
    narrow[size - 1].bits = 0xff80;
    const std::string last = "the value at row " + std::to_string((size - 1) / 100) + ", column " +
                             std::to_string((size - 1) % 100) + " is infinite";
    CHECK(check_finite(std::span<const float>(values), 100).error().message == last);
    CHECK(check_finite(std::span<const Bf16>(narrow), 100).error().message == last);
    values[size / 2] = -std::numeric_limits<float>::quiet_NaN();
    narrow[size / 2].bits = 0x7f81;
    const std::string middle = "the value at row " + std::to_string(size / 2 / 100) + ", column " +
                               std::to_string(size / 2 % 100) + " is not a number";
    CHECK(check_finite(std::span<const float>(values), 100).error().message == middle);
    CHECK(check_finite(std::span<const Bf16>(narrow), 100).error().message == middle);
  }
}

}  // namespace
}  // namespace longhaul::compression
