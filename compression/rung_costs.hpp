// What each rung has cost a link lately: bytes, times, distortion, as its encoder made them.
#pragma once

#include "compression/rung.hpp"
#include "compression/tensor_codec.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace longhaul::compression {

// Figures of one rung: of a step's micro-batches together, or of a trial on some rows.
struct RungSample {
  Rung rung;             // as it was given to encode() or encode_masked()
  double entries = 0.0;  // of the tensors that were encoded, those that a mask left out included
  // Under encode_masked: the density of the forward's rung, whose mask it was.
  std::uint32_t mask_density = kWholeDensity;
  double bytes = 0.0;
  double encode_s = 0.0;
  std::optional<double> decode_s;  // not known: as last time, or as long as encoding
  Distortion distortion;
};

struct RungCost {
  double bytes_per_sent = 0.0;  // per entry that selection or mask leaves over
  double encode_s = 0.0;        // per entry of the tensor
  double decode_s = 0.0;
  double distortion = 0.0;  // relative squared error
  std::uint64_t step = 0;   // of the last sample
};

// Costs by place in a list of rungs, apart for masked and whole tensors.
class RungCosts {
 public:
  explicit RungCosts(std::size_t rungs) : costs_(rungs) {}

  // Half the old figure, half the new. A sample with a figure that is negative, not finite or
  // without entries is left out.
  void see(std::size_t place, const RungSample& sample, std::uint64_t step);

  // What is known of it with or without a mask, else what is known of it the other way, else null.
  [[nodiscard]] const RungCost* find(std::size_t place, bool masked) const;

 private:
  struct Both {
    std::optional<RungCost> whole;
    std::optional<RungCost> masked;
  };
  std::vector<Both> costs_;
};

}  // namespace longhaul::compression
