// The job's compression: every form of it, and what is refused.
#include "proto/compression_setting.hpp"

#include <doctest/doctest.h>

#include <string>
#include <string_view>

namespace longhaul::proto {
namespace {

using Mode = CompressionSetting::Mode;

std::string refusal(std::string_view text) {
  const auto parsed = parse_compression(text);
  return parsed ? "accepted" : parsed.error().message;
}

TEST_CASE("compression: every form is read") {
  CHECK(parse_compression("dense").value().mode == Mode::kDense);
  CHECK(parse_compression("fixed(int8/128)").value().rung == "int8/128");
  CHECK(parse_compression("uniform-topk(100)").value().mode == Mode::kUniformTopK);

  const auto rule = parse_compression("adatopk(12.5)").value();
  CHECK(rule.mode == Mode::kAdaTopK);
  CHECK(rule.ratio == 12.5);

  const auto adaptive = parse_compression("adaptive").value();
  CHECK(adaptive.mode == Mode::kAdaptive);
  CHECK_FALSE(adaptive.distortion.has_value());
  CHECK(parse_compression("adaptive(distortion=0.05)").value().distortion == 0.05);
}

TEST_CASE("compression: an unknown word is refused with the choices") {
  for (const std::string_view text : {"", "zip", "adaptive()", "adaptive(", "adatopk", "adatopk()",
                                      "Adaptive", "adaptive ", "dense(1)"}) {
    CAPTURE(text);
    CHECK(refusal(text).find("use dense, adaptive, adaptive(distortion=X), adatopk(RATIO), "
                             "uniform-topk(RATIO) or fixed(RUNG)") != std::string::npos);
  }
}

TEST_CASE("compression: numbers out of range are refused with the range") {
  for (const std::string_view text :
       {"adatopk(0.5)", "adatopk(nan)", "adatopk(1e7)", "adatopk(10x)", "adatopk(-3)"}) {
    CAPTURE(text);
    CHECK(refusal(text).find("the ratio of adatopk is") != std::string::npos);
  }
  for (const std::string_view text :
       {"adaptive(distortion=0)", "adaptive(distortion=1.5)", "adaptive(distortion=nan)",
        "adaptive(distortion=)", "adaptive(0.05)", "adaptive(distortion=-1)"}) {
    CAPTURE(text);
    CHECK(refusal(text).find("it must be distortion=X, X above 0 and at most 1") !=
          std::string::npos);
  }
}

}  // namespace
}  // namespace longhaul::proto
