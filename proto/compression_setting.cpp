// A word, or a word with one argument in parentheses.
#include "proto/compression_setting.hpp"

#include "proto/refused.hpp"
#include "proto/text.hpp"

#include <charconv>
#include <cmath>
#include <system_error>

namespace longhaul::proto {
namespace {

constexpr double kLargestRatio = 1e6;

Result<CompressionSetting> uniform_top_k(std::string_view argument) {
  double ratio = 0.0;
  const char* const end = argument.data() + argument.size();
  const auto read = std::from_chars(argument.data(), end, ratio);
  const bool number = read.ec == std::errc() && read.ptr == end;
  if (!number || !(ratio >= 1.0 && ratio <= kLargestRatio)) {
    return refused("compression: the ratio of uniform-topk is {}; it must be a number from 1 to {}",
                   quoted(argument), kLargestRatio);
  }
  return CompressionSetting{
      .mode = CompressionSetting::Mode::kUniformTopK, .rung = {}, .ratio = ratio};
}

}  // namespace

Result<CompressionSetting> parse_compression(std::string_view text) {
  if (text == "dense") return CompressionSetting{};
  const auto open = text.find('(');
  if (open != std::string_view::npos && text.ends_with(')') && open + 2 < text.size()) {
    const auto word = text.substr(0, open);
    const auto argument = text.substr(open + 1, text.size() - open - 2);
    if (word == "fixed") {
      return CompressionSetting{
          .mode = CompressionSetting::Mode::kFixed, .rung = std::string(argument), .ratio = 1.0};
    }
    if (word == "uniform-topk") return uniform_top_k(argument);
  }
  return refused("compression is {}; use dense, fixed(RUNG) or uniform-topk(RATIO)", quoted(text));
}

}  // namespace longhaul::proto
