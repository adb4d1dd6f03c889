// A lossy payload from a peer. The first three bytes say codec, rows and columns of the header.
#include "compression/tensor_codec.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

using longhaul::compression::Buffer;
using longhaul::compression::Codec;
using longhaul::compression::Shape;
using longhaul::compression::Workspace;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const auto codec = static_cast<Codec>(data[0] % 7);
  const Shape shape{data[1], data[2]};
  const auto payload = std::as_bytes(std::span(data, size).subspan(3));
  Workspace workspace;
  Buffer<std::uint32_t> mask;
  if (codec == Codec::kMasked) {  // every third entry
    mask.resize(shape.elements() / 3);
    for (std::size_t i = 0; i < mask.size(); ++i) {
      mask.span()[i] = static_cast<std::uint32_t>(3 * i);
    }
  }
  std::vector<float> values(shape.elements());
  if (longhaul::compression::decode(codec, payload, shape, std::span<float>(values), &mask,
                                    workspace)
          .has_error()) {
    return 0;
  }
  // What was accepted is finite, and no entry came twice.
  const bool dense = codec == Codec::kDenseFp32 || codec == Codec::kDenseBf16;
  const bool finite = std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
  if (!dense && !finite) std::abort();
  std::ranges::sort(mask.span());
  if (std::ranges::adjacent_find(mask.span()) != mask.span().end()) std::abort();
  return 0;
}
