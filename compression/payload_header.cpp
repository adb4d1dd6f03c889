// Format, block and flags in the first four bytes, then what each codec adds.
#include "compression/payload_header.hpp"

#include <fmt/format.h>

#include <bit>
#include <cstring>

namespace longhaul::compression {
namespace {

constexpr unsigned kPacked = 1;
constexpr unsigned kRotated = 2;
constexpr unsigned kGlobal = 4;
constexpr unsigned kFine = 8;

void write_start(const ValueLayout& layout, unsigned flags, std::byte* to) {
  to[0] = static_cast<std::byte>(layout.format);
  to[1] = static_cast<std::byte>(layout.block == 0 ? 0 : std::countr_zero(layout.block));
  to[2] = static_cast<std::byte>(flags | (layout.packed ? kPacked : 0) |
                                 (layout.rotated ? kRotated : 0));
  to[3] = std::byte{0};
}

void write_number(std::size_t number, std::byte* to) {
  const auto narrow = static_cast<std::uint32_t>(number);
  std::memcpy(to, &narrow, 4);
}

std::uint32_t read_number(const std::byte* from) {
  std::uint32_t number = 0;
  std::memcpy(&number, from, 4);
  return number;
}

Result<ValueFormat> format_of(unsigned number) {
  for (const ValueFormat format :
       {ValueFormat::kInt3, ValueFormat::kInt4, ValueFormat::kInt6, ValueFormat::kInt8,
        ValueFormat::kBf16, ValueFormat::kInt16, ValueFormat::kFp32}) {
    if (static_cast<unsigned>(format) == number) return format;
  }
  return Error{fmt::format("value format {} is not known", number)};
}

struct Start {
  ValueLayout layout;
  unsigned flags = 0;
};

// The first four bytes, of `header_bytes` that there must be.
Result<Start> read_start(std::span<const std::byte> payload, std::size_t header_bytes,
                         unsigned allowed) {
  if (payload.size() < header_bytes) {
    return Error{fmt::format("payload has {} bytes, less than its header", payload.size())};
  }
  const auto format = format_of(std::to_integer<unsigned>(payload[0]));
  if (format.has_error()) return format.error();
  const auto block = std::to_integer<unsigned>(payload[1]);
  const auto flags = std::to_integer<unsigned>(payload[2]);
  const bool integer = is_integer(format.value());
  if (integer ? block < 5 || block > 8 : block != 0) {
    return Error{fmt::format("value format {} cannot have blocks of 2^{}",
                             std::to_integer<unsigned>(payload[0]), block)};
  }
  if (!can_be_packed(format.value())) allowed &= ~kPacked;
  if ((flags & ~allowed) != 0 || payload[3] != std::byte{0}) {
    return Error{fmt::format("payload has flags {:#x}, which are not known", flags & ~allowed)};
  }
  return Start{.layout = {.format = format.value(),
                          .block = integer ? std::size_t{1} << block : 0,
                          .packed = (flags & kPacked) != 0,
                          .rotated = (flags & kRotated) != 0},
               .flags = flags};
}

}  // namespace

void write_blocks_header(const ValueLayout& layout, std::uint32_t seed, std::byte* to) {
  write_start(layout, 0, to);
  write_number(seed, to + 4);
}

void write_top_k_header(const TopKHeader& header, std::byte* to) {
  write_start(header.layout, (header.global ? kGlobal : 0U) | (header.fine ? kFine : 0U), to);
  write_number(header.k, to + 4);
  write_number(header.index_bytes, to + 8);
}

void write_masked_header(const ValueLayout& layout, std::byte* to) { write_start(layout, 0, to); }

Result<BlocksHeader> read_blocks_header(std::span<const std::byte> payload) {
  const auto start = read_start(payload, kBlocksHeaderBytes, kPacked | kRotated);
  if (start.has_error()) return start.error();
  if (start.value().layout.block == 0) return Error{"blocks must have an integer value format"};
  return BlocksHeader{.layout = start.value().layout, .seed = read_number(payload.data() + 4)};
}

Result<TopKHeader> read_top_k_header(std::span<const std::byte> payload) {
  const auto start = read_start(payload, kTopKHeaderBytes, kPacked | kGlobal | kFine);
  if (start.has_error()) return start.error();
  const TopKHeader header{.layout = start.value().layout,
                          .global = (start.value().flags & kGlobal) != 0,
                          .fine = (start.value().flags & kFine) != 0,
                          .k = read_number(payload.data() + 4),
                          .index_bytes = read_number(payload.data() + 8)};
  if (header.index_bytes % 4 != 0 || header.index_bytes > payload.size() - kTopKHeaderBytes) {
    return Error{fmt::format("an index section of {} bytes is not in a payload of {}",
                             header.index_bytes, payload.size())};
  }
  return header;
}

Result<std::size_t> entries_of(const TopKHeader& header, std::size_t rows, std::size_t columns) {
  if (header.k > (header.global ? rows * columns : columns)) {
    return Error{
        fmt::format("{} entries are more than a tensor of {} x {} has", header.k, rows, columns)};
  }
  const std::size_t count = header.global ? header.k : header.k * rows;
  if (header.index_bytes < count / 8) {  // a gap takes a bit at least
    return Error{fmt::format("{} bytes are too few for {} indices", header.index_bytes, count)};
  }
  return count;
}

Result<ValueLayout> read_masked_header(std::span<const std::byte> payload) {
  const auto start = read_start(payload, kMaskedHeaderBytes, kPacked);
  if (start.has_error()) return start.error();
  return start.value().layout;
}

}  // namespace longhaul::compression
