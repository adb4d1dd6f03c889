// A rung of the ladder: how hard a link compresses, as a value with a name.
#pragma once

#include "compression/error.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace longhaul::compression {

// How a value that is sent is written; the enumerators are the format bytes of format.md.
enum class ValueFormat : std::uint8_t {
  kInt3 = 3,
  kInt4 = 4,
  kInt6 = 6,
  kInt8 = 8,
  kBf16 = 16,
  kInt16 = 17,  // 16 bits; 16 itself is bfloat16
  kFp32 = 32,
};

// Which entries are sent.
enum class Selection : std::uint8_t {
  kAll,
  kTopKPerToken,  // the same number of entries of each row
  kTopKGlobal,    // of the whole tensor
  kIndexed,       // of the whole tensor, in FusionLLM's format: fp32 values and int64 indices
};

inline constexpr std::uint32_t kWholeDensity = 1'000'000'000;

// Names: fp32, bf16, int16/128, int8/128, int4/64-rotated-stochastic, topk10%-int4/64-packed,
// gtopk1%-fp32, indexed1%. A block that is the format's usual one may be left out when parsing; it
// is always printed. An own mask is "-ownmask". parse(name(rung)) is the rung.
struct Rung {
  Selection selection = Selection::kAll;
  std::uint32_t density = kWholeDensity;  // entries sent, in parts per 10^9; kAll: kWholeDensity
  ValueFormat format = ValueFormat::kFp32;
  std::uint16_t block = 0;  // 32, 64, 128 or 256 for integer formats, else 0
  bool rotated = false;     // integer formats of kAll only
  bool stochastic = false;  // integer formats only
  bool packed = false;      // entropy-coded where that is shorter; integer formats up to 8 bits
  // The backward payload of a top-k link holds the gradient at the forward's entries; with an own
  // mask it selects for itself. kIndexed always has its own.
  bool own_mask = false;

  bool operator==(const Rung&) const = default;
};

// An error that names what is wrong with the combination; encode() refuses such a rung.
[[nodiscard]] Result<void> check(const Rung& rung);

[[nodiscard]] std::string name(const Rung& rung);
[[nodiscard]] Result<Rung> parse_rung(std::string_view text);

// A rung as a number below 2^53, above 0; and back, an error for what is no rung.
[[nodiscard]] std::uint64_t pack(const Rung& rung);
[[nodiscard]] Result<Rung> unpack(std::uint64_t packed);

// 128 for int16 and int8, 64 for int6 and int4, 32 for int3, 0 for fp32 and bf16.
[[nodiscard]] std::uint16_t usual_block(ValueFormat format);

// Entries kept of `count` (a row, or the tensor): density x count to the nearest, halves up, at
// least 1 and at most count; 0 of 0.
[[nodiscard]] std::size_t kept_entries(std::uint32_t density, std::size_t count);

// The order in which a link moves, from the mildest rung to the hardest.
[[nodiscard]] std::span<const Rung> default_ladder();

// Of a value as it is written, without its block's scale.
[[nodiscard]] unsigned bits_of(ValueFormat format);

// Blocks of codes; and whether these can be packed.
[[nodiscard]] bool is_integer(ValueFormat format);
[[nodiscard]] bool can_be_packed(ValueFormat format);

// Whether the backward of a forward under this rung is encoded with encode_masked.
[[nodiscard]] bool shares_mask(const Rung& forward);

// The backward rung that belongs to a forward rung of a top-k link: the same value format, without
// selection of its own (for encode_masked). Any other rung is returned as it is.
[[nodiscard]] Rung masked_values_of(const Rung& rung);

}  // namespace longhaul::compression
