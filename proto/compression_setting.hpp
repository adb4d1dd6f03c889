// The job's `compression`: what its links carry.
#pragma once

#include "proto/error.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace longhaul::proto {

struct CompressionSetting {
  enum class Mode {
    kDense,  // "dense": every tensor as it is
    kFixed,  // "fixed(RUNG)": one rung on every link, always; compression/format.md names them
    kUniformTopK,  // "uniform-topk(RATIO)": FusionLLM's format, one entry in RATIO on every link
    kAdaTopK,      // "adatopk(RATIO)": FusionLLM's rule: RATIO divided over links by their times
    // "adaptive" or "adaptive(distortion=X)": each link has the mildest rung that hides it.
    kAdaptive,
  };
  Mode mode = Mode::kDense;
  std::string rung;    // of kFixed, not empty; whether there is such a rung is compression's to say
  double ratio = 1.0;  // of kUniformTopK and kAdaTopK: 1 to 1e6
  // Of kAdaptive: relative squared error that a link may make, above 0 and at most 1; none: the
  // default of compression.
  std::optional<double> distortion;
};

// The error (kConfiguration) names the choices.
[[nodiscard]] Result<CompressionSetting> parse_compression(std::string_view text);

}  // namespace longhaul::proto
