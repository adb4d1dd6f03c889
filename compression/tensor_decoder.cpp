// Decoding: foreign payloads of every codec back into tensors.
#include "compression/mask_indices.hpp"
#include "compression/payload_header.hpp"
#include "compression/tensor_codec.hpp"
#include "compression/value_section.hpp"
#include "compression/workspace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>

namespace longhaul::compression {
namespace {

constexpr std::size_t kMostElements = std::size_t{1} << 31;

Result<void> decode_blocks(std::span<const std::byte> payload, Workspace::Memory& memory,
                           std::span<float> out) {
  const auto header = read_blocks_header(payload);
  if (header.has_error()) return header.error();
  return read_values(payload.subspan(kBlocksHeaderBytes), header.value().layout,
                     header.value().seed, memory, out);
}

void scatter(std::span<const float> values, std::span<const std::uint32_t> mask,
             std::span<float> out) {
  std::ranges::fill(out, 0.0F);
  for (std::size_t i = 0; i < mask.size(); ++i) out[mask[i]] = values[i];
}

Result<void> decode_top_k(std::span<const std::byte> payload, Shape shape,
                          Buffer<std::uint32_t>& mask, Workspace::Memory& memory,
                          std::span<float> out) {
  const auto read = read_top_k_header(payload);
  if (read.has_error()) return read.error();
  const TopKHeader& header = read.value();
  const auto entries_sent = entries_of(header, shape.rows, shape.columns);
  if (entries_sent.has_error()) return entries_sent.error();
  const std::size_t count = entries_sent.value();
  const auto body = payload.subspan(kTopKHeaderBytes);
  const auto entries = mask.resize(count);
  if (auto indices =
          read_index_section(body.first(header.index_bytes), header.fine, shape, entries);
      indices.has_error()) {
    return indices;
  }
  const auto values = memory.values.resize(count);
  if (auto done = read_values(body.subspan(header.index_bytes), header.layout, 0, memory, values);
      done.has_error()) {
    return done;
  }
  scatter(values, entries, out);
  return {};
}

Result<void> decode_masked(std::span<const std::byte> payload, std::span<const std::uint32_t> mask,
                           Workspace::Memory& memory, std::span<float> out) {
  const auto layout = read_masked_header(payload);
  if (layout.has_error()) return layout.error();
  if (std::ranges::any_of(mask, [&](std::uint32_t at) { return at >= out.size(); })) {
    return Error{"the mask has an entry outside the tensor"};
  }
  const auto values = memory.values.resize(mask.size());
  if (auto done =
          read_values(payload.subspan(kMaskedHeaderBytes), layout.value(), 0, memory, values);
      done.has_error()) {
    return done;
  }
  scatter(values, mask, out);
  return {};
}

Result<void> decode_indexed(std::span<const std::byte> payload, std::span<float> out) {
  const std::size_t k = payload.size() / 12;
  if (payload.size() % 12 != 0 || k > out.size()) {
    return Error{fmt::format("an indexed payload of {} bytes is not one of at most {} entries",
                             payload.size(), out.size())};
  }
  std::ranges::fill(out, 0.0F);
  std::uint64_t next = 0;
  for (std::size_t i = 0; i < k; ++i) {
    std::uint64_t index = 0;
    float value = 0.0F;
    std::memcpy(&index, payload.data() + 4 * k + 8 * i, 8);
    std::memcpy(&value, payload.data() + 4 * i, 4);
    if (index < next || index >= out.size()) {
      return Error{
          fmt::format("index {} of entry {} does not ascend or is outside the tensor", index, i)};
    }
    if (!std::isfinite(value)) return Error{fmt::format("the value of entry {} is not finite", i)};
    out[index] = value;
    next = index + 1;
  }
  return {};
}

Result<void> decode_dense(Codec codec, std::span<const std::byte> payload, std::span<float> out) {
  if (auto sound = check_dense(codec, {.elements = out.size(), .payload_bytes = payload.size()});
      sound.has_error()) {
    return sound;
  }
  if (codec == Codec::kDenseFp32) {
    copy_bytes(out.data(), payload.data(), payload.size());
    return {};
  }
  constexpr std::size_t kPiece16 = 4096;
  std::uint16_t piece[kPiece16];  // aligned, which the payload need not be
  for (std::size_t at = 0; at < out.size(); at += kPiece16) {
    const std::size_t length = std::min(kPiece16, out.size() - at);
    std::memcpy(piece, payload.data() + 2 * at, 2 * length);
    widen_from_bf16(piece, out.subspan(at, length));
  }
  return {};
}

Result<void> decode_floats(Codec codec, std::span<const std::byte> payload, Shape shape,
                           std::span<float> out, Buffer<std::uint32_t>* mask,
                           Workspace& workspace) {
  Workspace::Memory& memory = workspace.memory();
  if (shape.rows != 0 && shape.columns > kMostElements / shape.rows) {
    return Error{fmt::format("a tensor of {} x {} is too large", shape.rows, shape.columns)};
  }
  if (shape.elements() != out.size() || out.size() >= kMostElements) {
    return Error{fmt::format("{} values are not a tensor of {} x {}", out.size(), shape.rows,
                             shape.columns)};
  }
  switch (codec) {
    case Codec::kDenseFp32:
    case Codec::kDenseBf16:
      return decode_dense(codec, payload, out);
    case Codec::kIntegers:
      return Error{"integers are not decoded to floats"};
    case Codec::kBlocks:
      return decode_blocks(payload, memory, out);
    case Codec::kTopK:
      return decode_top_k(payload, shape, mask != nullptr ? *mask : memory.places, memory, out);
    case Codec::kMasked:
      if (mask == nullptr) return Error{"masked values came where no mask was sent"};
      return decode_masked(payload, mask->span(), memory, out);
    case Codec::kIndexed:
      return decode_indexed(payload, out);
  }
  return Error{"the codec is not known"};
}

}  // namespace

Result<void> decode(Codec codec, std::span<const std::byte> payload, Shape shape,
                    std::span<float> out, Buffer<std::uint32_t>* mask, Workspace& workspace) {
  return decode_floats(codec, payload, shape, out, mask, workspace);
}

Result<void> decode(Codec codec, std::span<const std::byte> payload, Shape shape,
                    std::span<Bf16> out, Buffer<std::uint32_t>* mask, Workspace& workspace) {
  if (codec == Codec::kDenseFp32) {
    return Error{"a dense float32 payload came for a bfloat16 tensor"};
  }
  if (codec == Codec::kDenseBf16) {
    if (auto sound = check_dense(codec, {.elements = out.size(), .payload_bytes = payload.size()});
        sound.has_error()) {
      return sound;
    }
    copy_bytes(out.data(), payload.data(), payload.size());
    return {};
  }
  const auto widened = workspace.memory().widened.resize(out.size());
  if (auto done = decode_floats(codec, payload, shape, widened, mask, workspace);
      done.has_error()) {
    return done;
  }
  narrow_to_bf16(widened, reinterpret_cast<std::uint16_t*>(out.data()));
  return {};
}

}  // namespace longhaul::compression
