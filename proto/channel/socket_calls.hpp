// Non-blocking reads and writes on a ZeroMQ socket. A signal that interrupts one is not an error:
// the call is repeated. Exceptions (zmq::error_t) mean that the context or socket was closed: our
// bug.
#pragma once

#include <zmq.hpp>

namespace longhaul::proto {

// False if no message waits: then the edge of ZMQ_FD is reset as if ZMQ_EVENTS had been read, since
// a non-blocking receive looks for input exactly as that does before it gives up. The frames of one
// message arrive together.
[[nodiscard]] bool receive_frame(zmq::socket_ref socket, zmq::message_t& frame);

// Takes the frames off that follow `frame` in its message; true if there were any.
bool drop_rest_of_message(zmq::socket_ref socket, zmq::message_t& frame);

enum class SendOutcome {
  kTaken,  // the frame is ZeroMQ's, and empty here
  kFull,   // the queue is full, or there is none for want of a connection
  kGone,   // a ROUTER has no such peer
};
[[nodiscard]] SendOutcome send_frame(zmq::socket_ref socket, zmq::message_t& frame, bool more);

}  // namespace longhaul::proto
