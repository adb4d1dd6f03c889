// Owns the zmq::context_t.
#include "proto/channel/context.hpp"

#include <zmq.hpp>

namespace longhaul::proto {

Context::Context(int io_threads) : context_(std::make_unique<zmq::context_t>(io_threads)) {}

Context::~Context() = default;

}  // namespace longhaul::proto
