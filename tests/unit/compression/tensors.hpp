// Tensors that codecs find hard, and encoding and decoding in one call.
#pragma once

#include "compression/kernels.hpp"
#include "compression/tensor_codec.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace longhaul::compression {

// "normal", "channels" (a few channels are large for all tokens), "zeros", "equal", "ties" (four
// magnitudes), "subnormal" (with a few larger), "sparse" (mostly zeros), "wide" (exponents from
// -99 to 99). The same for the same arguments.
[[nodiscard]] std::vector<float> tensor(std::string_view kind, Shape shape, std::uint64_t seed = 1);

inline constexpr std::string_view kKinds[] = {"normal", "channels",  "zeros",  "equal",
                                              "ties",   "subnormal", "sparse", "wide"};

[[nodiscard]] Rung rung(std::string_view name);

[[nodiscard]] Encoded encoded(const std::vector<float>& values, Shape shape, const Rung& rung,
                              std::uint64_t key = 7);

// Decoded; a kTopK payload's mask is returned in `mask` if that is given.
[[nodiscard]] std::vector<float> decoded(const Encoded& from, Shape shape,
                                         Buffer<std::uint32_t>* mask = nullptr);

// The error of decoding these bytes; fails the test if there is none.
[[nodiscard]] std::string refusal(Codec codec, std::span<const std::byte> payload, Shape shape);

[[nodiscard]] std::vector<std::byte> bytes_of(const Encoded& encoded);

// Sets that this processor has.
[[nodiscard]] std::vector<InstructionSet> instruction_sets();

}  // namespace longhaul::compression
