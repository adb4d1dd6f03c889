// The first bytes of codecs 3, 4 and 5: written and read here only.
#pragma once

#include "compression/error.hpp"
#include "compression/value_section.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace longhaul::compression {

inline constexpr std::size_t kBlocksHeaderBytes = 8;
inline constexpr std::size_t kTopKHeaderBytes = 12;
inline constexpr std::size_t kMaskedHeaderBytes = 4;

struct BlocksHeader {
  ValueLayout layout = {};
  std::uint32_t seed = 0;
};

struct TopKHeader {
  ValueLayout layout = {};
  bool global = false;
  bool fine = false;
  std::size_t k = 0;  // of each row, or of all
  std::size_t index_bytes = 0;
};

void write_blocks_header(const ValueLayout& layout, std::uint32_t seed, std::byte* to);
void write_top_k_header(const TopKHeader& header, std::byte* to);
void write_masked_header(const ValueLayout& layout, std::byte* to);

// Foreign payloads; what is returned is consistent in itself, but nothing is known of the tensor.
[[nodiscard]] Result<BlocksHeader> read_blocks_header(std::span<const std::byte> payload);
[[nodiscard]] Result<TopKHeader> read_top_k_header(std::span<const std::byte> payload);
// Entries that such a payload carries of a tensor of rows x columns; an error if there are not that
// many, or if the index section cannot hold their gaps.
[[nodiscard]] Result<std::size_t> entries_of(const TopKHeader& header, std::size_t rows,
                                             std::size_t columns);
[[nodiscard]] Result<ValueLayout> read_masked_header(std::span<const std::byte> payload);

}  // namespace longhaul::compression
