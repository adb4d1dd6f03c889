// What the processors of this host spend on carrying tensors to another worker.
#pragma once

#include <cstddef>

namespace longhaul::proto {

// Seconds of one processor for each byte at each end: ZeroMQ, CURVE, checksum and the system, over
// loopback, with messages of `bytes`. Throws proto::Failed where no socket can be had.
[[nodiscard]] double carry_s_per_byte(std::size_t bytes);

}  // namespace longhaul::proto
