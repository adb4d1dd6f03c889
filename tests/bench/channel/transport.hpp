// The two transports that the benchmark compares: each carries messages of one size one way between
// two threads with a ZeroMQ context each, over loopback, encrypted and authenticated by CURVE.
#pragma once

#include <chrono>
#include <cstddef>
#include <memory>
#include <vector>

namespace longhaul::bench {

// Memory to send from, taken in turn, so that neither side finds all of it in a cache.
using Buffers = std::vector<std::shared_ptr<const std::vector<std::byte>>>;

class Transport {
 public:
  virtual ~Transport() = default;
  // From the first send until the receiver has the last message.
  virtual std::chrono::duration<double> carry(const Buffers& buffers, std::size_t messages) = 0;
};

// libzmq as one writes it by hand: DEALER to ROUTER, blocking calls, a frame per message that
// refers to the sender's memory, no header, no checksum.
std::unique_ptr<Transport> make_raw_transport();

// proto::TensorChannel as the worker uses it: a header, and a checksum that one channel computes
// and the other verifies.
std::unique_ptr<Transport> make_tensor_transport();

}  // namespace longhaul::bench
