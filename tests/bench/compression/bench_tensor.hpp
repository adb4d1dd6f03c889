// The tensor that the benches of codecs measure where none is given.
#pragma once

#include "compression/tensor_codec.hpp"

#include <string>
#include <vector>

namespace longhaul::compression {

// "normal", or "channels": one column in 16 is twenty times as large in every row, as outlier
// channels are. Row-major, the same for the same arguments.
[[nodiscard]] std::vector<float> bench_tensor(const std::string& kind, Shape shape);

}  // namespace longhaul::compression
