// Makes the tensor that the benches of codecs measure where none is given.
#include "tests/bench/compression/bench_tensor.hpp"

#include <cstddef>
#include <random>

namespace longhaul::compression {

std::vector<float> bench_tensor(const std::string& kind, Shape shape) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> scale(shape.columns, 1.0F);
  if (kind == "channels") {
    for (std::size_t column = 0; column < shape.columns; column += 16) scale[column] = 20.0F;
  }
  std::vector<float> values(shape.elements());
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = normal(random) * scale[i % shape.columns];
  }
  return values;
}

}  // namespace longhaul::compression
