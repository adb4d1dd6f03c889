// A tensor of any bits under any rung: what is encoded decodes, and to what the encoder said.
// The first three bytes say rung, rows and options; the rest are float32 values.
#include "compression/tensor_codec.hpp"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <vector>

namespace {

using namespace longhaul::compression;

Rung rung_of(std::uint8_t byte, std::uint8_t options) {
  const auto ladder = default_ladder();
  if (byte < ladder.size()) return ladder[byte];
  constexpr ValueFormat kFormats[] = {ValueFormat::kInt3, ValueFormat::kInt4, ValueFormat::kInt6,
                                      ValueFormat::kInt8, ValueFormat::kBf16, ValueFormat::kFp32};
  Rung rung{.selection = static_cast<Selection>(byte % 4), .format = kFormats[options % 6]};
  if (rung.selection == Selection::kIndexed) rung.format = ValueFormat::kFp32;
  if (rung.selection != Selection::kAll) rung.density = kWholeDensity / 16 * (1 + byte / 16);
  rung.own_mask = rung.selection == Selection::kIndexed;
  if (static_cast<int>(rung.format) > 8) return rung;
  rung.block = static_cast<std::uint16_t>(32 << (options / 64));
  rung.rotated = rung.selection == Selection::kAll && byte % 8 >= 4;
  rung.stochastic = options % 64 >= 32;
  rung.packed = options % 32 >= 16;
  if (rung.format == ValueFormat::kInt8 && rung.packed && byte % 16 >= 8) {
    rung.format = ValueFormat::kInt16;
    rung.packed = false;
  }
  return rung;
}

void expect(bool condition) {
  if (!condition) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 3) return 0;
  const Rung rung = rung_of(data[0], data[2]);
  std::vector<float> values((size - 3) / 4);
  if (!values.empty()) std::memcpy(values.data(), data + 3, 4 * values.size());
  const std::size_t rows = data[1] == 0 || values.empty() ? 1 : data[1];
  const Shape shape{rows, values.size() / rows};
  values.resize(shape.elements());
  Workspace workspace;
  Encoded sent;
  if (encode(std::span<const float>(values), shape, rung, 5, workspace, sent).has_error()) {
    return 0;
  }
  expect(sent.payload.size() <= 4 * values.size());
  Buffer<std::uint32_t> mask;
  std::vector<float> back(values.size());
  expect(decode(sent.codec, sent.payload.span(), shape, std::span<float>(back), &mask, workspace)
             .has_value());
  if (sent.codec == Codec::kTopK) expect(mask.size() == sent.mask.size());
  if (sent.codec == Codec::kDenseFp32) {
    expect(values.empty() || std::memcmp(values.data(), back.data(), 4 * values.size()) == 0);
  }
  return 0;
}
