// A word, or a word with one argument in parentheses.
#include "proto/compression_setting.hpp"

#include "proto/refused.hpp"
#include "proto/text.hpp"

#include <charconv>
#include <optional>
#include <string>
#include <system_error>

namespace longhaul::proto {
namespace {

constexpr double kLargestRatio = 1e6;

constexpr std::string_view kDistortion = "distortion=";

std::optional<double> number_in(std::string_view text) {
  double value = 0.0;
  const char* const end = text.data() + text.size();
  const auto read = std::from_chars(text.data(), end, value);
  if (read.ec != std::errc() || read.ptr != end) return std::nullopt;
  return value;
}

Result<CompressionSetting> with_ratio(CompressionSetting::Mode mode, std::string_view word,
                                      std::string_view argument) {
  const auto ratio = number_in(argument);
  if (!ratio || !(*ratio >= 1.0 && *ratio <= kLargestRatio)) {
    return refused("compression: the ratio of {} is {}; it must be a number from 1 to {}", word,
                   quoted(argument), kLargestRatio);
  }
  return CompressionSetting{.mode = mode, .rung = {}, .ratio = *ratio, .distortion = {}};
}

Result<CompressionSetting> adaptive(std::string_view argument) {
  const bool named = argument.starts_with(kDistortion);
  const auto distortion =
      named ? number_in(argument.substr(kDistortion.size())) : std::optional<double>();
  if (!distortion || !(*distortion > 0.0 && *distortion <= 1.0)) {
    return refused(
        "compression: adaptive has {} in parentheses; it must be distortion=X, X above 0 and at "
        "most 1",
        quoted(argument));
  }
  return CompressionSetting{.mode = CompressionSetting::Mode::kAdaptive,
                            .rung = {},
                            .ratio = 1.0,
                            .distortion = distortion};
}

}  // namespace

Result<CompressionSetting> parse_compression(std::string_view text) {
  using enum CompressionSetting::Mode;
  if (text == "dense") return CompressionSetting{};
  if (text == "adaptive") {
    return CompressionSetting{.mode = kAdaptive, .rung = {}, .ratio = 1.0, .distortion = {}};
  }
  const auto open = text.find('(');
  if (open != std::string_view::npos && text.ends_with(')') && open + 2 < text.size()) {
    const auto word = text.substr(0, open);
    const auto argument = text.substr(open + 1, text.size() - open - 2);
    if (word == "fixed") {
      return CompressionSetting{
          .mode = kFixed, .rung = std::string(argument), .ratio = 1.0, .distortion = {}};
    }
    if (word == "uniform-topk") return with_ratio(kUniformTopK, word, argument);
    if (word == "adatopk") return with_ratio(kAdaTopK, word, argument);
    if (word == "adaptive") return adaptive(argument);
  }
  return refused(
      "compression is {}; use dense, adaptive, adaptive(distortion=X), adatopk(RATIO), "
      "uniform-topk(RATIO) or fixed(RUNG)",
      quoted(text));
}

}  // namespace longhaul::proto
