// A measured level that is noisy while it lasts and sometimes jumps: a mean that forgets at a jump.
#pragma once

#include <cstdint>

namespace longhaul::compression {

// The mean of the last eight samples or so. A sample further from it than noise explains, three
// times `spread` and at least 15 %, is a new level: the mean starts again with it.
class SteadyLevel {
 public:
  // `spread`: relative standard deviation of one sample. A sample that is not a positive finite
  // number is none.
  void see(double sample, double spread = 0.0);
  // The level is at least `sample`.
  void raise_to(double sample);

  [[nodiscard]] bool known() const { return count_ > 0; }
  [[nodiscard]] double value() const { return value_; }  // 0 while nothing is known

 private:
  double value_ = 0.0;
  std::uint32_t count_ = 0;
};

}  // namespace longhaul::compression
