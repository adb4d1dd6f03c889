// The codecs themselves: numbers, dense size checks, and narrowed integers with zstd.
#include "compression/codec.hpp"

#include <fmt/format.h>
#include <zstd.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

namespace longhaul::compression {
namespace {

static_assert(std::endian::native == std::endian::little, "payloads are the memory of the tensor");

constexpr std::size_t kIntegerHeaderBytes = 2;  // width, packing
constexpr int kZstdLevel = 3;
enum Packing : std::uint8_t { kRaw = 0, kZstd = 1 };

std::size_t width_of(std::uint64_t largest) {
  if (largest <= std::numeric_limits<std::uint8_t>::max()) return 1;
  if (largest <= std::numeric_limits<std::uint16_t>::max()) return 2;
  if (largest <= std::numeric_limits<std::uint32_t>::max()) return 4;
  return 8;
}

template <class Narrow>
void narrow(std::span<const std::int64_t> values, std::byte* to) {
  for (const std::int64_t value : values) {
    const auto small = static_cast<Narrow>(value);
    std::memcpy(to, &small, sizeof small);
    to += sizeof small;
  }
}

template <class Narrow>
void widen(const std::byte* from, std::span<std::int64_t> values) {
  for (std::int64_t& value : values) {
    Narrow small;
    std::memcpy(&small, from, sizeof small);
    value = static_cast<std::int64_t>(small);
    from += sizeof small;
  }
}

// Little-endian unsigned values of `width` bytes each.
void narrow_to(std::size_t width, std::span<const std::int64_t> values, std::byte* to) {
  switch (width) {
    case 1:
      return narrow<std::uint8_t>(values, to);
    case 2:
      return narrow<std::uint16_t>(values, to);
    case 4:
      return narrow<std::uint32_t>(values, to);
    case 8:
      return narrow<std::uint64_t>(values, to);
  }
}

void widen_from(std::size_t width, const std::byte* from, std::span<std::int64_t> values) {
  switch (width) {
    case 1:
      return widen<std::uint8_t>(from, values);
    case 2:
      return widen<std::uint16_t>(from, values);
    case 4:
      return widen<std::uint32_t>(from, values);
    case 8:
      return widen<std::uint64_t>(from, values);
  }
}

std::vector<std::byte> with_header(std::size_t width, Packing packing,
                                   std::span<const std::byte> body) {
  std::vector<std::byte> payload(kIntegerHeaderBytes + body.size());
  payload[0] = static_cast<std::byte>(width);
  payload[1] = static_cast<std::byte>(packing);
  std::ranges::copy(body, payload.begin() + kIntegerHeaderBytes);
  return payload;
}

// The body as `raw_bytes` plain bytes: the body itself, or `unpacked` filled from it.
Result<const std::byte*> unpack(std::uint8_t packing, std::span<const std::byte> body,
                                std::size_t raw_bytes, std::vector<std::byte>& unpacked) {
  if (packing == kRaw) {
    if (body.size() != raw_bytes) {
      return Error{fmt::format("integer payload has {} bytes of values instead of {}", body.size(),
                               raw_bytes)};
    }
    return body.data();
  }
  if (packing != kZstd) {
    return Error{
        fmt::format("integer payload has packing {}; 0 (raw) and 1 (zstd) are known", packing)};
  }
  unpacked.resize(raw_bytes);
  const std::size_t size =
      ZSTD_decompress(unpacked.data(), unpacked.size(), body.data(), body.size());
  if (ZSTD_isError(size) != 0) {
    return Error{fmt::format("integer payload does not unpack to {} bytes: zstd says {}", raw_bytes,
                             ZSTD_getErrorName(size))};
  }
  if (size != raw_bytes) {
    return Error{fmt::format("integer payload unpacks to {} bytes instead of {}", size, raw_bytes)};
  }
  return unpacked.data();
}

}  // namespace

Result<Codec> codec_from_number(std::uint32_t number) {
  if (number > static_cast<std::uint32_t>(Codec::kIndexed)) {
    return Error{fmt::format("codec {} is not known to this version of Longhaul", number)};
  }
  return static_cast<Codec>(number);
}

Result<void> check_dense(Codec codec, DenseSize size) {
  if (codec != Codec::kDenseFp32 && codec != Codec::kDenseBf16) {
    return Error{fmt::format("codec {} is not dense", static_cast<std::uint32_t>(codec))};
  }
  const std::size_t width = codec == Codec::kDenseFp32 ? 4 : 2;
  // Divided, not multiplied: the element count comes from a peer.
  if (size.payload_bytes % width != 0 || size.payload_bytes / width != size.elements) {
    return Error{fmt::format("dense payload has {} bytes, which are not {} elements of {} bytes",
                             size.payload_bytes, size.elements, width)};
  }
  return {};
}

Result<std::vector<std::byte>> encode_integers(std::span<const std::int64_t> values) {
  std::int64_t largest = 0;
  for (const std::int64_t& value : values) {
    if (value < 0) {
      return Error{fmt::format("value {} at position {} is negative", value,
                               std::distance(values.data(), &value))};
    }
    largest = std::max(largest, value);
  }
  const std::size_t width = width_of(static_cast<std::uint64_t>(largest));
  std::vector<std::byte> raw(values.size() * width);
  narrow_to(width, values, raw.data());

  std::vector<std::byte> packed(ZSTD_compressBound(raw.size()));
  const std::size_t size =
      ZSTD_compress(packed.data(), packed.size(), raw.data(), raw.size(), kZstdLevel);
  if (ZSTD_isError(size) != 0 || size >= raw.size()) return with_header(width, kRaw, raw);
  return with_header(width, kZstd, std::span(packed).first(size));
}

Result<void> decode_integers(std::span<const std::byte> payload, std::span<std::int64_t> out) {
  if (payload.size() < kIntegerHeaderBytes) {
    return Error{fmt::format("integer payload has {} bytes, less than its header", payload.size())};
  }
  const auto width = std::to_integer<std::size_t>(payload[0]);
  if (width > 8 || !std::has_single_bit(width)) {
    return Error{fmt::format("integer payload has width {}; 1, 2, 4 and 8 are known", width)};
  }
  std::vector<std::byte> unpacked;
  const auto raw = unpack(std::to_integer<std::uint8_t>(payload[1]),
                          payload.subspan(kIntegerHeaderBytes), out.size() * width, unpacked);
  if (raw.has_error()) return raw.error();
  widen_from(width, raw.value(), out);
  // Only 8-byte values can reach the sign bit.
  if (width == 8 && std::ranges::any_of(out, [](std::int64_t value) { return value < 0; })) {
    return Error{"integer payload holds a value of 2^63 or more"};
  }
  return {};
}

}  // namespace longhaul::compression
