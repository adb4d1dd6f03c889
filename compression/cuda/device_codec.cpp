// Encoding on a device: which payload a rung makes of a tensor, and when the dense one goes out.
#include "compression/cuda/device_codec.hpp"

#include "compression/cuda/device_memory.hpp"
#include "compression/cuda/device_section.hpp"
#include "compression/payload_header.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

namespace longhaul::compression::cuda {
namespace {

constexpr std::size_t kMostElements = std::size_t{1} << 31;

// The tensor as it came, beside its values as float32.
struct Source {
  In<float> values;
  In<uint16_t> bf16;  // null if it came as float32
  Shape shape;

  [[nodiscard]] std::size_t dense_bytes() const {
    return (bf16 == nullptr ? 4 : 2) * shape.elements();
  }
  [[nodiscard]] Codec dense_codec() const {
    return bf16 == nullptr ? Codec::kDenseFp32 : Codec::kDenseBf16;
  }
};

Error refused_value(const Source& source, std::size_t position) {
  float value = 0.0F;
  download<float>(source.values + position, {&value, 1});
  const std::string what = std::isnan(value)   ? "is not a number"
                           : std::isinf(value) ? "is infinite"
                                               : "has a magnitude of 2^100 or more";
  return Error{fmt::format("the value at row {}, column {} {}", position / source.shape.columns,
                           position % source.shape.columns, what)};
}

Result<void> check_shape(Shape shape) {
  const bool fits = shape.rows == 0 || shape.columns < kMostElements / shape.rows + 1;
  if (!fits || shape.elements() >= kMostElements) {
    return Error{fmt::format("a tensor of {} x {} is too large: 2^31 values and more are not sent",
                             shape.rows, shape.columns)};
  }
  return {};
}

void copy_dense(const Source& source, std::byte* to) {
  const std::size_t count = source.shape.elements();
  if (source.bf16 == nullptr) {
    download<float>(source.values, {reinterpret_cast<float*>(to), count});
  } else {
    download<uint16_t>(source.bf16, {reinterpret_cast<uint16_t*>(to), count});
  }
}

void send_dense(const Source& source, Encoded& out) {
  out.codec = source.dense_codec();
  copy_dense(source, out.payload.resize(source.dense_bytes()).data());
  out.distortion.squared_error = 0.0;
}

// Zeros outside the mask. `memory.values` are those at its entries.
void send_dense_masked(const Source& source, const DeviceBuffer<uint32_t>& mask,
                       DeviceMemory& memory, Encoded& out) {
  const std::size_t count = source.shape.elements();
  const auto zeroed = memory.widened.resize(count);  // no longer needed for what it held
  fill_zero(zeroed, count);
  scatter(memory.values.in(), mask.in(), mask.size(), zeroed);
  Source masked{.values = memory.widened.in(), .bf16 = nullptr, .shape = source.shape};
  if (source.bf16 != nullptr) {
    narrow_to_bf16(memory.widened.in(), count, memory.narrowed.resize(count));
    masked.bf16 = memory.narrowed.in();
  }
  send_dense(masked, out);
  out.codec = source.dense_codec();
}

void set_distortion(Encoded& out, const Sums& sums) {
  out.distortion = {.squared_error = sums.squared_error, .squares = sums.squares};
}

ValueLayout layout_of(const Rung& rung) {
  return {
      .format = rung.format, .block = rung.block, .packed = rung.packed, .rotated = rung.rotated};
}

Result<void> encode_bf16(const Source& source, DeviceMemory& memory, Encoded& out) {
  const ValueLayout layout{.format = ValueFormat::kBf16};
  const std::size_t count = source.shape.elements();
  const PreparedValues values = prepare_values(source.values, count, layout, {}, memory);
  if (values.refused != kNoPosition) return refused_value(source, values.refused);
  copy_values(values, source.values, count, layout, memory, out.payload.resize(2 * count).data());
  out.codec = Codec::kDenseBf16;
  set_distortion(out, values.sums);
  return {};
}

Result<void> encode_blocks(const Source& source, const Rung& rung, std::uint64_t key,
                           DeviceMemory& memory, Encoded& out) {
  ValueLayout layout = layout_of(rung);
  const std::size_t count = source.shape.elements();
  const auto seed = rung.rotated ? static_cast<uint32_t>(mix64(key)) : 0U;
  const PreparedValues values =
      prepare_values(source.values, count, layout,
                     {.stochastic = rung.stochastic, .key = key, .seed = seed}, memory);
  if (values.refused != kNoPosition) return refused_value(source, values.refused);
  set_distortion(out, values.sums);
  if (kBlocksHeaderBytes + values.bytes >= source.dense_bytes()) {
    send_dense(source, out);
    return {};
  }
  const auto payload = out.payload.resize(kBlocksHeaderBytes + values.bytes);
  layout.packed = values.packed;
  write_blocks_header(layout, seed, payload.data());
  copy_values(values, source.values, count, layout, memory, payload.data() + kBlocksHeaderBytes);
  out.codec = Codec::kBlocks;
  return {};
}

struct Selected {
  std::size_t k = 0;      // of each row, or of all
  std::size_t count = 0;  // of all
  Kept kept;
  double squares = 0.0;  // of all values
};

Result<Selected> select(const Source& source, const Rung& rung, DeviceMemory& memory) {
  const bool per_token = rung.selection == Selection::kTopKPerToken;
  const auto rows = static_cast<uint32_t>(source.shape.rows);
  const auto columns = static_cast<uint32_t>(source.shape.columns);
  const std::size_t elements = source.shape.elements();
  Selected selected;
  selected.k = kept_entries(rung.density, per_token ? columns : elements);
  selected.count = per_token ? rows * selected.k : selected.k;
  expect_no_refusal(memory);
  selected.squares = sum_of_squares(source.values, per_token ? rows : 1,
                                    per_token ? columns : static_cast<uint32_t>(elements),
                                    Measured::kValues, memory);
  if (const uint32_t at = first_refusal(memory); at != kNoPosition) {
    return refused_value(source, at);
  }
  const std::size_t thresholds = per_token ? rows : 1;
  selected.kept = {.values = source.values,
                   .magnitudes = memory.magnitudes.resize(thresholds),
                   .cuts = memory.cuts.resize(thresholds),
                   .rows = rows,
                   .columns = columns,
                   .per_row = per_token};
  const auto k = static_cast<uint32_t>(selected.k);
  if (per_token) {
    select_per_row(source.values, rows, columns, k, memory.magnitudes.out(), memory.cuts.out());
  } else {
    select_global(source.values, elements, k, memory.select, memory.magnitudes.out(),
                  memory.cuts.out());
  }
  return selected;
}

// What selection alone loses; memory.values are those that are kept.
double dropped_squares(const Source& source, const Selected& selected, DeviceMemory& memory) {
  if (selected.count == source.shape.elements()) return 0.0;
  const double kept = sum_of_squares(memory.values.in(), 1, static_cast<uint32_t>(selected.count),
                                     Measured::kValues, memory);
  return std::max(0.0, selected.squares - kept);
}

Result<void> encode_indexed(const Source& source, const Rung& rung, DeviceMemory& memory,
                            Encoded& out) {
  const auto done = select(source, rung, memory);
  if (done.has_error()) return done.error();
  const Selected& selected = done.value();
  const std::size_t k = selected.k;
  out.distortion.squares = selected.squares;
  if (12 * k >= source.dense_bytes()) {
    send_dense(source, out);
    return {};
  }
  compact(selected.kept, memory.compaction, memory.kept.resize(k));
  gather(source.values, memory.kept.in(), k, memory.values.resize(k));
  const auto payload = out.payload.resize(12 * k);
  memory.values.download_to({reinterpret_cast<float*>(payload.data()), k});
  std::vector<uint32_t> kept(k);
  memory.kept.download_to(kept);
  for (std::size_t i = 0; i < k; ++i) {
    const uint64_t index = kept[i];
    std::memcpy(payload.data() + 4 * k + 8 * i, &index, 8);
  }
  out.codec = Codec::kIndexed;
  out.distortion.squared_error = dropped_squares(source, selected, memory);
  return {};
}

Result<void> encode_top_k(const Source& source, const Rung& rung, std::uint64_t key,
                          DeviceMemory& memory, Encoded& out, DeviceBuffer<uint32_t>& mask) {
  const auto done = select(source, rung, memory);
  if (done.has_error()) return done.error();
  const Selected& selected = done.value();
  const std::size_t count = selected.count;
  mask.resize(count);
  In<uint32_t> places = mask.in();
  if (source.shape.rows == 1) {  // places are positions
    compact(selected.kept, memory.compaction, mask.out());
  } else {
    to_mask_order(selected.kept, memory.compaction, mask.out(), memory.places.resize(count));
    places = memory.places.in();
  }
  gather(source.values, mask.in(), count, memory.values.resize(count));
  const PreparedIndices indices = prepare_indices(places, count, memory);
  ValueLayout layout = layout_of(rung);
  const PreparedValues values = prepare_values(memory.values.in(), count, layout,
                                               {.stochastic = rung.stochastic, .key = key}, memory);
  out.distortion.squares = selected.squares;
  const std::size_t head = kTopKHeaderBytes + indices.bytes;
  if (head + values.bytes >= source.dense_bytes()) {
    mask.resize(0);
    send_dense(source, out);
    return {};
  }
  const auto payload = out.payload.resize(head + values.bytes);
  layout.packed = values.packed;
  write_top_k_header({.layout = layout,
                      .global = rung.selection == Selection::kTopKGlobal,
                      .fine = indices.fine,
                      .k = selected.k,
                      .index_bytes = indices.bytes},
                     payload.data());
  copy_indices(indices, places, count, memory, payload.data() + kTopKHeaderBytes);
  copy_values(values, memory.values.in(), count, layout, memory, payload.data() + head);
  out.codec = Codec::kTopK;
  out.distortion.squared_error =
      values.sums.squared_error + dropped_squares(source, selected, memory);
  return {};
}

Result<void> encode_source(const Source& source, const Rung& rung, std::uint64_t key,
                           DeviceMemory& memory, Encoded& out, DeviceBuffer<uint32_t>& mask) {
  if (auto sound = compression::check(rung); sound.has_error()) return sound;
  out.distortion = {};
  mask.resize(0);
  const bool is_bf16 = source.bf16 != nullptr;
  switch (rung.selection) {
    case Selection::kAll:
      if (rung.format == ValueFormat::kFp32 || (rung.format == ValueFormat::kBf16 && is_bf16)) {
        send_dense(source, out);
        return {};
      }
      if (rung.format == ValueFormat::kBf16) return encode_bf16(source, memory, out);
      return encode_blocks(source, rung, key, memory, out);
    case Selection::kTopKPerToken:
    case Selection::kTopKGlobal:
      return encode_top_k(source, rung, key, memory, out, mask);
    case Selection::kIndexed:
      return encode_indexed(source, rung, memory, out);
  }
  return {};
}

Result<void> encode_masked_source(const Source& source, const DeviceBuffer<uint32_t>& mask,
                                  const Rung& rung, std::uint64_t key, DeviceMemory& memory,
                                  Encoded& out) {
  if (auto sound = compression::check(rung); sound.has_error()) return sound;
  if (rung.selection != Selection::kAll || rung.rotated) {
    return Error{fmt::format("masked values cannot be sent under {}", name(rung))};
  }
  ValueLayout layout = layout_of(rung);
  const std::size_t count = mask.size();
  gather(source.values, mask.in(), count, memory.values.resize(count));
  const PreparedValues values = prepare_values(memory.values.in(), count, layout,
                                               {.stochastic = rung.stochastic, .key = key}, memory);
  if (values.refused != kNoPosition) return refused_value(source, mask.at(values.refused));
  set_distortion(out, values.sums);
  if (kMaskedHeaderBytes + values.bytes >= source.dense_bytes()) {
    send_dense_masked(source, mask, memory, out);
    return {};
  }
  const auto payload = out.payload.resize(kMaskedHeaderBytes + values.bytes);
  layout.packed = values.packed;
  write_masked_header(layout, payload.data());
  copy_values(values, memory.values.in(), count, layout, memory,
              payload.data() + kMaskedHeaderBytes);
  out.codec = Codec::kMasked;
  return {};
}

Source widened(In<uint16_t> values, Shape shape, DeviceMemory& memory) {
  widen_from_bf16(values, shape.elements(), memory.widened.resize(shape.elements()));
  return {.values = memory.widened.in(), .bf16 = values, .shape = shape};
}

}  // namespace

DeviceCodec::DeviceCodec(int device) : device_(device), memory_(std::make_unique<DeviceMemory>()) {}
DeviceCodec::~DeviceCodec() = default;
DeviceCodec::DeviceCodec(DeviceCodec&&) noexcept = default;
DeviceCodec& DeviceCodec::operator=(DeviceCodec&&) noexcept = default;

DeviceMemory& DeviceCodec::use() {
  use_device(device_);
  return *memory_;
}

Result<void> DeviceCodec::encode(In<float> values, Shape shape, const Rung& rung, std::uint64_t key,
                                 Encoded& out, DeviceBuffer<uint32_t>& mask) {
  if (auto sound = check_shape(shape); sound.has_error()) return sound;
  const Source source{.values = values, .bf16 = nullptr, .shape = shape};
  return encode_source(source, rung, key, use(), out, mask);
}

Result<void> DeviceCodec::encode(In<uint16_t> values, Shape shape, const Rung& rung,
                                 std::uint64_t key, Encoded& out, DeviceBuffer<uint32_t>& mask) {
  if (auto sound = check_shape(shape); sound.has_error()) return sound;
  return encode_source(widened(values, shape, use()), rung, key, *memory_, out, mask);
}

Result<void> DeviceCodec::encode_masked(In<float> values, Shape shape,
                                        const DeviceBuffer<uint32_t>& mask, const Rung& rung,
                                        std::uint64_t key, Encoded& out) {
  if (auto sound = check_shape(shape); sound.has_error()) return sound;
  const Source source{.values = values, .bf16 = nullptr, .shape = shape};
  return encode_masked_source(source, mask, rung, key, use(), out);
}

Result<void> DeviceCodec::encode_masked(In<uint16_t> values, Shape shape,
                                        const DeviceBuffer<uint32_t>& mask, const Rung& rung,
                                        std::uint64_t key, Encoded& out) {
  if (auto sound = check_shape(shape); sound.has_error()) return sound;
  return encode_masked_source(widened(values, shape, use()), mask, rung, key, *memory_, out);
}

}  // namespace longhaul::compression::cuda
