// Encoding: which payload a rung makes of a tensor, and when the dense one goes out instead.
#include "compression/tensor_codec.hpp"

#include "compression/mask_indices.hpp"
#include "compression/payload_header.hpp"
#include "compression/value_section.hpp"
#include "compression/workspace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace longhaul::compression {
namespace {

constexpr std::size_t kMostElements = std::size_t{1} << 31;

// The tensor as it came, beside its values as float32.
struct Source {
  std::span<const float> values;
  std::span<const std::byte> dense;
  Codec dense_codec = Codec::kDenseFp32;
  Shape shape;
};

Error refused_value(const Source& source, std::size_t position) {
  const float value = source.values[position];
  const std::string what = std::isnan(value)   ? "is not a number"
                           : std::isinf(value) ? "is infinite"
                                               : "has a magnitude of 2^100 or more";
  return Error{fmt::format("the value at row {}, column {} {}", position / source.shape.columns,
                           position % source.shape.columns, what)};
}

bool is_refused(float value) {
  return (std::bit_cast<std::uint32_t>(value) & kMagnitudeMask) >= kRefusedMagnitude;
}

// A kernel knows the block; the position in it is found here.
Error refused_after(const Source& source, std::size_t begin) {
  while (begin + 1 < source.values.size() && !is_refused(source.values[begin])) ++begin;
  return refused_value(source, begin);
}

Result<void> check_shape(Shape shape, std::size_t values) {
  const bool fits = shape.rows == 0 || shape.columns < kMostElements / shape.rows + 1;
  if (!fits || shape.elements() >= kMostElements) {
    return Error{fmt::format("a tensor of {} x {} is too large: 2^31 values and more are not sent",
                             shape.rows, shape.columns)};
  }
  if (shape.elements() != values) {
    return Error{
        fmt::format("{} values are not a tensor of {} x {}", values, shape.rows, shape.columns)};
  }
  return {};
}

void send_dense(const Source& source, Encoded& out) {
  out.codec = source.dense_codec;
  std::ranges::copy(source.dense, out.payload.resize(source.dense.size()).begin());
  out.mask.resize(0);
  out.distortion.squared_error = 0.0;
}

// Zeros outside the mask.
void send_dense_masked(const Source& source, std::span<const std::uint32_t> mask, Encoded& out) {
  out.codec = source.dense_codec;
  const auto payload = out.payload.resize(source.dense.size());
  std::ranges::fill(payload, std::byte{0});
  const std::size_t width = source.dense_codec == Codec::kDenseFp32 ? 4 : 2;
  for (const std::uint32_t at : mask) {
    std::memcpy(payload.data() + width * at, source.dense.data() + width * at, width);
  }
  out.mask.resize(0);
  out.distortion.squared_error = 0.0;
}

void set_distortion(Encoded& out, const Sums& sums) {
  out.distortion = {.squared_error = sums.squared_error, .squares = sums.squares};
}

ValueLayout layout_of(const Rung& rung) {
  return {
      .format = rung.format, .block = rung.block, .packed = rung.packed, .rotated = rung.rotated};
}

Result<void> encode_bf16(const Source& source, Workspace::Memory& memory, Encoded& out) {
  Sums sums;
  const auto payload = out.payload.resize(2 * source.values.size());
  const WrittenValues written =
      write_values(source.values, {.format = ValueFormat::kBf16}, {}, memory, payload.data(), sums);
  if (written.refused != source.values.size()) return refused_after(source, written.refused);
  out.codec = Codec::kDenseBf16;
  out.mask.resize(0);
  set_distortion(out, sums);
  return {};
}

Result<void> encode_blocks(const Source& source, const Rung& rung, std::uint64_t key,
                           Workspace::Memory& memory, Encoded& out) {
  ValueLayout layout = layout_of(rung);
  const auto seed = rung.rotated ? static_cast<std::uint32_t>(mix64(key)) : 0U;
  const auto payload =
      out.payload.resize(kBlocksHeaderBytes + plain_value_bytes(layout, source.values.size()));
  Sums sums;
  const WrittenValues written =
      write_values(source.values, layout, {.stochastic = rung.stochastic, .key = key, .seed = seed},
                   memory, payload.data() + kBlocksHeaderBytes, sums);
  if (written.refused != source.values.size()) return refused_after(source, written.refused);
  set_distortion(out, sums);
  out.payload.shorten(kBlocksHeaderBytes + written.bytes);
  if (out.payload.size() >= source.dense.size()) {
    send_dense(source, out);
    return {};
  }
  layout.packed = written.packed;
  write_blocks_header(layout, seed, payload.data());
  out.codec = Codec::kBlocks;
  out.mask.resize(0);
  return {};
}

// Selects; the entries are in memory.top_k.kept, ascending. `sums` gets all squares.
Result<std::size_t> select(const Source& source, const Rung& rung, Workspace::Memory& memory,
                           Sums& sums) {
  const bool per_token = rung.selection == Selection::kTopKPerToken;
  const std::size_t k =
      kept_entries(rung.density, per_token ? source.shape.columns : source.shape.elements());
  const std::size_t done =
      per_token ? select_per_row(source.values, source.shape.columns, k, memory.top_k, sums.squares)
                : select_global(source.values, k, memory.top_k, sums.squares);
  if (done != source.values.size()) return refused_after(source, done);
  return k;
}

std::span<const float> gather(const Source& source, std::span<const std::uint32_t> entries,
                              Workspace::Memory& memory) {
  const auto values = memory.values.resize(entries.size());
  for (std::size_t i = 0; i < entries.size(); ++i) values[i] = source.values[entries[i]];
  return values;
}

double sum_of_squares(std::span<const float> values) {
  double squares = 0.0;
  for (std::size_t at = 0; at < values.size(); at += kPiece) {
    kernels().scan(values.data() + at, std::min(kPiece, values.size() - at), squares);
  }
  return squares;
}

// What selection alone loses.
double dropped_squares(const Source& source, std::span<const float> kept, const Sums& all) {
  if (kept.size() == source.values.size()) return 0.0;
  return std::max(0.0, all.squares - sum_of_squares(kept));
}

Result<void> encode_indexed(const Source& source, const Rung& rung, Workspace::Memory& memory,
                            Encoded& out) {
  Sums sums;
  const auto selected = select(source, rung, memory, sums);
  if (selected.has_error()) return selected.error();
  const std::size_t k = selected.value();
  set_distortion(out, sums);
  if (12 * k >= source.dense.size()) {
    send_dense(source, out);
    return {};
  }
  const auto kept = memory.top_k.kept.span();
  const auto values = gather(source, kept, memory);
  const auto payload = out.payload.resize(12 * k);
  copy_bytes(payload.data(), values.data(), values.size_bytes());
  for (std::size_t i = 0; i < k; ++i) {
    const std::uint64_t index = kept[i];
    std::memcpy(payload.data() + 4 * k + 8 * i, &index, 8);
  }
  out.codec = Codec::kIndexed;
  out.mask.resize(0);
  out.distortion.squared_error = dropped_squares(source, values, sums);
  return {};
}

Result<void> encode_top_k(const Source& source, const Rung& rung, std::uint64_t key,
                          Workspace::Memory& memory, Encoded& out) {
  Sums all;
  const auto selected = select(source, rung, memory, all);
  if (selected.has_error()) return selected.error();
  const auto kept = memory.top_k.kept.span();
  const auto mask = out.mask.resize(kept.size());
  const auto places = memory.places.resize(kept.size());
  to_mask_order(kept, source.shape, memory.column_counts, mask, places);
  const auto values = gather(source, mask, memory);
  const IndexPlan plan = plan_index_section(places, memory.parameters, memory.group_bytes);

  ValueLayout layout = layout_of(rung);
  const std::size_t head = kTopKHeaderBytes + plan.bytes;
  const auto payload = out.payload.resize(head + plain_value_bytes(layout, values.size()));
  Sums sent;
  const WrittenValues written =
      write_values(values, layout, {.stochastic = rung.stochastic, .key = key}, memory,
                   payload.data() + head, sent);
  out.payload.shorten(head + written.bytes);
  out.distortion.squares = all.squares;
  if (out.payload.size() >= source.dense.size()) {
    send_dense(source, out);
    return {};
  }
  layout.packed = written.packed;
  write_top_k_header({.layout = layout,
                      .global = rung.selection == Selection::kTopKGlobal,
                      .fine = plan.fine,
                      .k = selected.value(),
                      .index_bytes = plan.bytes},
                     payload.data());
  write_index_section(places, plan, memory.parameters.span(), memory.group_bytes.span(),
                      payload.data() + kTopKHeaderBytes);
  out.codec = Codec::kTopK;
  out.distortion.squared_error = sent.squared_error + dropped_squares(source, values, all);
  return {};
}

Result<void> encode_source(const Source& source, const Rung& rung, std::uint64_t key,
                           Workspace& workspace, Encoded& out) {
  if (auto sound = check(rung); sound.has_error()) return sound;
  if (auto sound = check_shape(source.shape, source.values.size()); sound.has_error()) {
    return sound;
  }
  out.distortion = {};
  const bool is_bf16 = source.dense_codec == Codec::kDenseBf16;
  switch (rung.selection) {
    case Selection::kAll:
      if (rung.format == ValueFormat::kFp32 || (rung.format == ValueFormat::kBf16 && is_bf16)) {
        send_dense(source, out);
        return {};
      }
      if (rung.format == ValueFormat::kBf16) return encode_bf16(source, workspace.memory(), out);
      return encode_blocks(source, rung, key, workspace.memory(), out);
    case Selection::kTopKPerToken:
    case Selection::kTopKGlobal:
      return encode_top_k(source, rung, key, workspace.memory(), out);
    case Selection::kIndexed:
      return encode_indexed(source, rung, workspace.memory(), out);
  }
  return {};
}

Result<void> encode_masked_source(const Source& source, std::span<const std::uint32_t> mask,
                                  const Rung& rung, std::uint64_t key, Workspace& workspace,
                                  Encoded& out) {
  if (auto sound = check(rung); sound.has_error()) return sound;
  if (auto sound = check_shape(source.shape, source.values.size()); sound.has_error()) {
    return sound;
  }
  if (rung.selection != Selection::kAll || rung.rotated) {
    return Error{fmt::format("masked values cannot be sent under {}", name(rung))};
  }
  if (std::ranges::any_of(mask, [&](std::uint32_t at) { return at >= source.values.size(); })) {
    return Error{"the mask has an entry outside the tensor"};
  }
  Workspace::Memory& memory = workspace.memory();
  const auto values = gather(source, mask, memory);
  ValueLayout layout = layout_of(rung);
  const auto payload =
      out.payload.resize(kMaskedHeaderBytes + plain_value_bytes(layout, values.size()));
  Sums sums;
  const WrittenValues written =
      write_values(values, layout, {.stochastic = rung.stochastic, .key = key}, memory,
                   payload.data() + kMaskedHeaderBytes, sums);
  if (written.refused != values.size()) {
    std::size_t at = written.refused;
    while (at + 1 < values.size() && !is_refused(values[at])) ++at;
    return refused_value(source, mask[at]);
  }
  set_distortion(out, sums);
  out.payload.shorten(kMaskedHeaderBytes + written.bytes);
  if (out.payload.size() >= source.dense.size()) {
    send_dense_masked(source, mask, out);
    return {};
  }
  layout.packed = written.packed;
  write_masked_header(layout, payload.data());
  out.codec = Codec::kMasked;
  out.mask.resize(0);
  return {};
}

Source source_of(std::span<const float> values, Shape shape) {
  return {.values = values, .dense = std::as_bytes(values), .shape = shape};
}

Source source_of(std::span<const Bf16> values, Shape shape, Workspace& workspace) {
  const auto widened = workspace.memory().widened.resize(values.size());
  widen_from_bf16(reinterpret_cast<const std::uint16_t*>(values.data()), widened);
  return {.values = widened,
          .dense = std::as_bytes(values),
          .dense_codec = Codec::kDenseBf16,
          .shape = shape};
}

}  // namespace

Workspace::Workspace() : memory_(std::make_unique<Memory>()) {}
Workspace::~Workspace() = default;
Workspace::Workspace(Workspace&&) noexcept = default;
Workspace& Workspace::operator=(Workspace&&) noexcept = default;

Result<void> encode(std::span<const float> values, Shape shape, const Rung& rung, std::uint64_t key,
                    Workspace& workspace, Encoded& out) {
  return encode_source(source_of(values, shape), rung, key, workspace, out);
}

Result<void> encode(std::span<const Bf16> values, Shape shape, const Rung& rung, std::uint64_t key,
                    Workspace& workspace, Encoded& out) {
  return encode_source(source_of(values, shape, workspace), rung, key, workspace, out);
}

Result<void> encode_masked(std::span<const float> values, Shape shape,
                           std::span<const std::uint32_t> mask, const Rung& rung, std::uint64_t key,
                           Workspace& workspace, Encoded& out) {
  return encode_masked_source(source_of(values, shape), mask, rung, key, workspace, out);
}

Result<void> encode_masked(std::span<const Bf16> values, Shape shape,
                           std::span<const std::uint32_t> mask, const Rung& rung, std::uint64_t key,
                           Workspace& workspace, Encoded& out) {
  return encode_masked_source(source_of(values, shape, workspace), mask, rung, key, workspace, out);
}

}  // namespace longhaul::compression
