// Decoding to a device: foreign payloads of every codec back into tensors.
#include "compression/cuda/device_codec.hpp"
#include "compression/cuda/device_memory.hpp"
#include "compression/cuda/device_section.hpp"
#include "compression/payload_header.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstring>
#include <vector>

namespace longhaul::compression::cuda {
namespace {

constexpr std::size_t kMostElements = std::size_t{1} << 31;

void place(In<float> values, In<uint32_t> mask, std::size_t count, Shape shape, Out<float> out) {
  fill_zero(out, shape.elements());
  scatter(values, mask, count, out);
}

Result<void> decode_blocks(std::span<const std::byte> payload, Shape shape, DeviceMemory& memory,
                           Out<float> out) {
  const auto header = read_blocks_header(payload);
  if (header.has_error()) return header.error();
  return read_section(payload.subspan(kBlocksHeaderBytes), header.value().layout,
                      header.value().seed, memory, out, shape.elements());
}

Result<void> decode_top_k(std::span<const std::byte> payload, Shape shape,
                          DeviceBuffer<uint32_t>& mask, DeviceMemory& memory, Out<float> out) {
  const auto read = read_top_k_header(payload);
  if (read.has_error()) return read.error();
  const TopKHeader& header = read.value();
  const auto entries_sent = entries_of(header, shape.rows, shape.columns);
  if (entries_sent.has_error()) return entries_sent.error();
  const std::size_t count = entries_sent.value();
  const auto body = payload.subspan(kTopKHeaderBytes);
  mask.resize(count);
  if (auto indices = read_indices(body.first(header.index_bytes), header.fine, shape, count, memory,
                                  mask.out());
      indices.has_error()) {
    return indices;
  }
  if (auto done = read_section(body.subspan(header.index_bytes), header.layout, 0, memory,
                               memory.values.resize(count), count);
      done.has_error()) {
    return done;
  }
  place(memory.values.in(), mask.in(), count, shape, out);
  return {};
}

Result<void> decode_masked(std::span<const std::byte> payload, Shape shape,
                           const DeviceBuffer<uint32_t>& mask, DeviceMemory& memory,
                           Out<float> out) {
  const auto layout = read_masked_header(payload);
  if (layout.has_error()) return layout.error();
  if (auto done = read_section(payload.subspan(kMaskedHeaderBytes), layout.value(), 0, memory,
                               memory.values.resize(mask.size()), mask.size());
      done.has_error()) {
    return done;
  }
  place(memory.values.in(), mask.in(), mask.size(), shape, out);
  return {};
}

// A baseline's payload: checked on the host, where its 64-bit indices are shortened.
Result<void> decode_indexed(std::span<const std::byte> payload, Shape shape, DeviceMemory& memory,
                            Out<float> out) {
  const std::size_t k = payload.size() / 12;
  if (payload.size() % 12 != 0 || k > shape.elements()) {
    return Error{fmt::format("an indexed payload of {} bytes is not one of at most {} entries",
                             payload.size(), shape.elements())};
  }
  std::vector<float> values(k);
  std::vector<uint32_t> positions(k);
  copy_bytes(values.data(), payload.data(), 4 * k);
  uint64_t next = 0;
  for (std::size_t i = 0; i < k; ++i) {
    uint64_t index = 0;
    std::memcpy(&index, payload.data() + 4 * k + 8 * i, 8);
    if (index < next || index >= shape.elements()) {
      return Error{
          fmt::format("index {} of entry {} does not ascend or is outside the tensor", index, i)};
    }
    if (!std::isfinite(values[i])) {
      return Error{fmt::format("the value of entry {} is not finite", i)};
    }
    positions[i] = static_cast<uint32_t>(index);
    next = index + 1;
  }
  place(memory.values.assign(values), memory.kept.assign(positions), k, shape, out);
  return {};
}

Result<void> decode_dense(Codec codec, std::span<const std::byte> payload, Shape shape,
                          DeviceMemory& memory, Out<float> out) {
  const std::size_t count = shape.elements();
  if (auto sound = check_dense(codec, {.elements = count, .payload_bytes = payload.size()});
      sound.has_error()) {
    return sound;
  }
  if (codec == Codec::kDenseFp32) {
    upload_bytes<float>(payload, out);
    return {};
  }
  widen_from_bf16(memory.narrowed.assign_bytes(payload), count, out);
  return {};
}

Result<void> decode_floats(Codec codec, std::span<const std::byte> payload, Shape shape,
                           Out<float> out, DeviceBuffer<uint32_t>* mask, DeviceMemory& memory) {
  if (shape.rows != 0 && shape.columns >= kMostElements / shape.rows + 1) {
    return Error{fmt::format("a tensor of {} x {} is too large", shape.rows, shape.columns)};
  }
  if (shape.elements() >= kMostElements) {
    return Error{fmt::format("a tensor of {} x {} is too large", shape.rows, shape.columns)};
  }
  switch (codec) {
    case Codec::kDenseFp32:
    case Codec::kDenseBf16:
      return decode_dense(codec, payload, shape, memory, out);
    case Codec::kIntegers:
      return Error{"integers are not decoded to floats"};
    case Codec::kBlocks:
      return decode_blocks(payload, shape, memory, out);
    case Codec::kTopK:
      return decode_top_k(payload, shape, mask != nullptr ? *mask : memory.kept, memory, out);
    case Codec::kMasked:
      if (mask == nullptr) return Error{"masked values came where no mask was sent"};
      return decode_masked(payload, shape, *mask, memory, out);
    case Codec::kIndexed:
      return decode_indexed(payload, shape, memory, out);
  }
  return Error{"the codec is not known"};
}

}  // namespace

Result<void> DeviceCodec::decode(Codec codec, std::span<const std::byte> payload, Shape shape,
                                 Out<float> out, DeviceBuffer<uint32_t>* mask) {
  return decode_floats(codec, payload, shape, out, mask, use());
}

Result<void> DeviceCodec::decode(Codec codec, std::span<const std::byte> payload, Shape shape,
                                 Out<uint16_t> out, DeviceBuffer<uint32_t>* mask) {
  if (codec == Codec::kDenseFp32) {
    return Error{"a dense float32 payload came for a bfloat16 tensor"};
  }
  if (shape.rows != 0 && shape.columns >= kMostElements / shape.rows + 1) {
    return Error{fmt::format("a tensor of {} x {} is too large", shape.rows, shape.columns)};
  }
  const auto widened = use().widened.resize(shape.elements());
  if (auto done = decode_floats(codec, payload, shape, widened, mask, *memory_); done.has_error()) {
    return done;
  }
  narrow_to_bf16(memory_->widened.in(), shape.elements(), out);
  return {};
}

}  // namespace longhaul::compression::cuda
