// The job's `compression`: what its links carry.
#pragma once

#include "proto/error.hpp"

#include <string>
#include <string_view>

namespace longhaul::proto {

struct CompressionSetting {
  enum class Mode {
    kDense,  // "dense": every tensor as it is
    kFixed,  // "fixed(RUNG)": one rung on every link, always; compression/format.md names them
    kUniformTopK,  // "uniform-topk(RATIO)": FusionLLM's format, one entry in RATIO on every link
  };
  Mode mode = Mode::kDense;
  std::string rung;    // of kFixed, not empty; whether there is such a rung is compression's to say
  double ratio = 1.0;  // of kUniformTopK: 1 to 1e6
};

// The error (kConfiguration) names the choices.
[[nodiscard]] Result<CompressionSetting> parse_compression(std::string_view text);

}  // namespace longhaul::proto
