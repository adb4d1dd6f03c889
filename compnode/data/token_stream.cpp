// Finds the part that holds a position, and widens its integers.
#include "compnode/data/token_stream.hpp"

#include "proto/assert.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>

namespace longhaul::compnode {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are used where they lie");

template <class Integer>
std::span<const Integer> integers(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const Integer*>(bytes.data()), bytes.size() / sizeof(Integer)};
}

template <class Integer>
TokenId greatest(std::span<const Integer> ids) {
  Integer result = 0;
  for (const Integer id : ids) result = std::max(result, id);
  return result;
}

}  // namespace

proto::Result<void> TokenStream::append(MappedFile file, const std::filesystem::path& name,
                                        Layout layout) {
  LONGHAUL_ASSERT(layout.token_bits == 16 || layout.token_bits == 32);
  const std::uint64_t bytes = file.bytes().size() - layout.header_bytes;
  const std::uint64_t width = layout.token_bits / 8;
  if (bytes % width != 0) {
    return proto::configuration_error(
        fmt::format("{}: {} bytes are no whole number of {}-bit token ids; is token_bits right?",
                    name.string(), bytes, layout.token_bits));
  }
  if (bytes == 0) return {};
  parts_.push_back({std::move(file), layout, tokens_, bytes / width});
  tokens_ += bytes / width;
  return {};
}

TokenId TokenStream::greatest_id() const {
  TokenId result = 0;
  for (const Part& part : parts_) {
    const auto bytes = part.file.bytes().subspan(part.layout.header_bytes);
    result =
        std::max(result, part.layout.token_bits == 16 ? greatest(integers<std::uint16_t>(bytes))
                                                      : greatest(integers<std::uint32_t>(bytes)));
  }
  return result;
}

void TokenStream::copy(std::uint64_t begin, std::span<std::int64_t> out) const {
  LONGHAUL_ASSERT(begin <= tokens_ && out.size() <= tokens_ - begin);
  if (out.empty()) return;
  auto part = std::upper_bound(parts_.begin(), parts_.end(), begin,
                               [](std::uint64_t place, const Part& p) { return place < p.begin; });
  for (--part; !out.empty(); ++part) {
    const std::uint64_t within = begin - part->begin;
    const std::size_t count = std::min<std::uint64_t>(part->tokens - within, out.size());
    const auto bytes = part->file.bytes().subspan(part->layout.header_bytes);
    if (part->layout.token_bits == 16) {
      std::ranges::copy(integers<std::uint16_t>(bytes).subspan(within, count), out.begin());
    } else {
      std::ranges::copy(integers<std::uint32_t>(bytes).subspan(within, count), out.begin());
    }
    begin += count;
    out = out.subspan(count);
  }
}

}  // namespace longhaul::compnode
