// Rungs: their names, what may be combined, and the ladder.
#include "compression/rung.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <utility>

namespace longhaul::compression {
namespace {

constexpr double kPerPercent = 1e7;  // density of one percent

constexpr std::pair<ValueFormat, std::string_view> kFormats[] = {
    {ValueFormat::kFp32, "fp32"}, {ValueFormat::kBf16, "bf16"}, {ValueFormat::kInt16, "int16"},
    {ValueFormat::kInt8, "int8"}, {ValueFormat::kInt6, "int6"}, {ValueFormat::kInt4, "int4"},
    {ValueFormat::kInt3, "int3"}};

constexpr std::pair<Selection, std::string_view> kSelections[] = {
    {Selection::kTopKPerToken, "topk"},
    {Selection::kTopKGlobal, "gtopk"},
    {Selection::kIndexed, "indexed"}};

constexpr Rung top_k(double percent, ValueFormat format, std::uint16_t block) {
  return {.selection = Selection::kTopKPerToken,
          .density = static_cast<std::uint32_t>(percent * kPerPercent + 0.5),
          .format = format,
          .block = block,
          .packed = true};
}

constexpr std::array kLadder{Rung{},
                             Rung{.format = ValueFormat::kBf16},
                             Rung{.format = ValueFormat::kInt8, .block = 128},
                             top_k(50, ValueFormat::kInt8, 128),
                             top_k(25, ValueFormat::kInt8, 128),
                             top_k(15, ValueFormat::kInt6, 64),
                             top_k(10, ValueFormat::kInt4, 64),
                             top_k(6, ValueFormat::kInt4, 64),
                             top_k(3, ValueFormat::kInt4, 64),
                             top_k(1, ValueFormat::kInt4, 64),
                             top_k(0.3, ValueFormat::kInt4, 64)};

std::string percent(std::uint32_t density) {
  std::string text = fmt::format("{}.{:07}", density / 10'000'000, density % 10'000'000);
  text.erase(text.find_last_not_of('0') + 1);
  if (text.back() == '.') text.pop_back();
  return text;
}

// Takes `word` off the front of `text` if it is there.
bool take(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  text.remove_prefix(word.size());
  return true;
}

std::optional<std::uint32_t> take_percent(std::string_view& text) {
  const std::size_t end = text.find('%');
  if (end == std::string_view::npos || end == 0) return std::nullopt;
  double value = 0.0;
  const auto [stop, error] =
      std::from_chars(text.data(), text.data() + end, value, std::chars_format::fixed);
  if (error != std::errc() || stop != text.data() + end) return std::nullopt;
  if (!(value * kPerPercent >= 0.5 && value <= 100.0)) return std::nullopt;
  text.remove_prefix(end + 1);
  return static_cast<std::uint32_t>(std::llround(value * kPerPercent));
}

std::optional<std::uint16_t> take_block(std::string_view& text) {
  std::uint16_t block = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), block);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
  return block;
}

Error unknown(std::string_view text) {
  return Error{
      fmt::format("'{}' is no rung; rungs are like fp32, bf16, int8/128, "
                  "int4/64-rotated-stochastic, topk10%-int4-packed, gtopk1%-fp32, "
                  "indexed1%",
                  text)};
}

bool take_format(std::string_view& rest, Rung& rung) {
  for (const auto& [format, word] : kFormats) {
    if (!take(rest, word)) continue;
    rung.format = format;
    rung.block = usual_block(format);
    if (take(rest, "/")) {
      const auto block = take_block(rest);
      if (!block) return false;
      rung.block = *block;
    }
    return true;
  }
  return false;
}

}  // namespace

Result<void> check(const Rung& rung) {
  const bool all = rung.selection == Selection::kAll;
  if (all ? rung.density != kWholeDensity : rung.density == 0 || rung.density > kWholeDensity) {
    return Error{"the density of a top-k rung must be above 0 and at most 100%"};
  }
  if (rung.selection == Selection::kIndexed &&
      (rung.format != ValueFormat::kFp32 || !rung.own_mask)) {
    return Error{"an indexed rung has fp32 values and its own mask"};
  }
  if (all && rung.own_mask) return Error{"only a top-k rung can have its own mask"};
  if (!is_integer(rung.format)) {
    if (rung.block != 0 || rung.rotated || rung.stochastic || rung.packed) {
      return Error{"only integer formats have blocks, rotation, stochastic rounding and packing"};
    }
    return {};
  }
  if (rung.block != 32 && rung.block != 64 && rung.block != 128 && rung.block != 256) {
    return Error{fmt::format("a block of {} is not 32, 64, 128 or 256", rung.block)};
  }
  if (rung.packed && !can_be_packed(rung.format)) return Error{"codes of 16 bits are not packed"};
  if (rung.rotated && !all) return Error{"only rungs that send every entry can be rotated"};
  return {};
}

std::string name(const Rung& rung) {
  std::string text;
  for (const auto& [selection, word] : kSelections) {
    if (rung.selection == selection) text = fmt::format("{}{}%", word, percent(rung.density));
  }
  if (rung.selection == Selection::kIndexed) return text;
  if (!text.empty()) text += "-";
  for (const auto& [format, word] : kFormats) {
    if (rung.format == format) text += word;
  }
  if (rung.block != 0) text += fmt::format("/{}", rung.block);
  if (rung.rotated) text += "-rotated";
  if (rung.stochastic) text += "-stochastic";
  if (rung.packed) text += "-packed";
  if (rung.own_mask) text += "-ownmask";
  return text;
}

Result<Rung> parse_rung(std::string_view text) {
  Rung rung;
  std::string_view rest = text;
  for (const auto& [selection, word] : kSelections) {
    if (!take(rest, word)) continue;
    const auto density = take_percent(rest);
    if (!density) return unknown(text);
    rung.selection = selection;
    rung.density = *density;
    if (selection != Selection::kIndexed && !take(rest, "-")) return unknown(text);
    break;
  }
  if (rung.selection == Selection::kIndexed) {
    rung.own_mask = true;
  } else if (!take_format(rest, rung)) {
    return unknown(text);
  }
  const std::pair<std::string_view, bool*> words[] = {{"-rotated", &rung.rotated},
                                                      {"-stochastic", &rung.stochastic},
                                                      {"-packed", &rung.packed},
                                                      {"-ownmask", &rung.own_mask}};
  for (const auto& [word, flag] : words) {
    if (rung.selection != Selection::kIndexed && take(rest, word)) *flag = true;
  }
  if (!rest.empty()) return unknown(text);
  if (const auto sound = check(rung); sound.has_error()) {
    return Error{fmt::format("rung '{}': {}", text, sound.error().message)};
  }
  return rung;
}

std::uint16_t usual_block(ValueFormat format) {
  switch (format) {
    case ValueFormat::kInt3:
      return 32;
    case ValueFormat::kInt4:
    case ValueFormat::kInt6:
      return 64;
    case ValueFormat::kInt8:
    case ValueFormat::kInt16:
      return 128;
    case ValueFormat::kBf16:
    case ValueFormat::kFp32:
      return 0;
  }
  return 0;
}

std::size_t kept_entries(std::uint32_t density, std::size_t count) {
  // Both factors are below 2^31, so the product fits.
  const std::uint64_t exact = std::uint64_t{density} * count;
  const std::size_t kept = (exact + kWholeDensity / 2) / kWholeDensity;
  return count == 0 ? 0 : std::clamp<std::size_t>(kept, 1, count);
}

// From the lowest bit: density - 1 (30), format (6), block / 32 (4), selection (2), rotated,
// stochastic, packed, own mask, 1.
std::uint64_t pack(const Rung& rung) {
  return std::uint64_t{rung.density - 1} |
         std::uint64_t{static_cast<std::uint8_t>(rung.format)} << 30 |
         std::uint64_t{rung.block} / 32 << 36 |
         std::uint64_t{static_cast<std::uint8_t>(rung.selection)} << 40 |
         std::uint64_t{rung.rotated} << 42 | std::uint64_t{rung.stochastic} << 43 |
         std::uint64_t{rung.packed} << 44 | std::uint64_t{rung.own_mask} << 45 |
         std::uint64_t{1} << 46;
}

Result<Rung> unpack(std::uint64_t packed) {
  const auto bits = [&](unsigned from, unsigned count) {
    return packed >> from & ((std::uint64_t{1} << count) - 1);
  };
  Rung rung;
  rung.density = static_cast<std::uint32_t>(bits(0, 30)) + 1;
  rung.format = static_cast<ValueFormat>(bits(30, 6));
  rung.block = static_cast<std::uint16_t>(bits(36, 4) * 32);
  rung.selection = static_cast<Selection>(bits(40, 2));
  rung.rotated = bits(42, 1) != 0;
  rung.stochastic = bits(43, 1) != 0;
  rung.packed = bits(44, 1) != 0;
  rung.own_mask = bits(45, 1) != 0;
  switch (rung.format) {
    case ValueFormat::kInt3:
    case ValueFormat::kInt4:
    case ValueFormat::kInt6:
    case ValueFormat::kInt8:
    case ValueFormat::kBf16:
    case ValueFormat::kInt16:
    case ValueFormat::kFp32:
      break;
    default:
      return Error{fmt::format("{} is no rung: format {}", packed, bits(30, 6))};
  }
  if (packed >> 46 != 1) return Error{fmt::format("{} is no rung", packed)};
  if (const auto sound = check(rung); !sound) return sound.error();
  return rung;
}

std::span<const Rung> default_ladder() { return kLadder; }

unsigned bits_of(ValueFormat format) {
  return format == ValueFormat::kInt16 ? 16 : static_cast<unsigned>(format);
}

bool is_integer(ValueFormat format) {
  return format != ValueFormat::kBf16 && format != ValueFormat::kFp32;
}

bool can_be_packed(ValueFormat format) {
  return is_integer(format) && format != ValueFormat::kInt16;
}

bool shares_mask(const Rung& forward) {
  return forward.selection != Selection::kAll && !forward.own_mask;
}

Rung masked_values_of(const Rung& rung) {
  if (!shares_mask(rung)) return rung;
  Rung values = rung;
  values.selection = Selection::kAll;
  values.density = kWholeDensity;
  return values;
}

}  // namespace longhaul::compression
