// What the ladder's rungs take and make on one processor of this host.
#pragma once

#include "compression/rung.hpp"

#include <cstddef>
#include <vector>

namespace longhaul::compnode {

// Per entry of a tensor of normal numbers: seconds, and bits on the wire.
struct CodecTimes {
  compression::Rung rung;
  double encode_s = 0.0;
  double decode_s = 0.0;
  double bits = 0.0;
};

// Of every rung of the default ladder but the dense one, on [rows, columns].
[[nodiscard]] std::vector<CodecTimes> measure_codecs(std::size_t rows, std::size_t columns);

}  // namespace longhaul::compnode
