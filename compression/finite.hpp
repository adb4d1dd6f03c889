// Whether a tensor may cross a link as it is.
#pragma once

#include "compression/error.hpp"
#include "compression/tensor_codec.hpp"

#include <cstddef>
#include <span>

namespace longhaul::compression {

// Values of rows of `columns`. An error names the first NaN or infinity by row and column.
[[nodiscard]] Result<void> check_finite(std::span<const float> values, std::size_t columns);
[[nodiscard]] Result<void> check_finite(std::span<const Bf16> values, std::size_t columns);

}  // namespace longhaul::compression
