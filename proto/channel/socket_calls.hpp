// Non-blocking reads and writes on a ZeroMQ socket. A signal that interrupts one is not an error: the
// call is repeated. Exceptions (zmq::error_t) mean that the context or socket was closed: our bug.
#pragma once

#include <zmq.hpp>

namespace longhaul::proto {

// ZMQ_POLLIN, ZMQ_POLLOUT; reading it resets the edge of ZMQ_FD.
[[nodiscard]] int pending_events(zmq::socket_ref socket);

// False if no message waits. The frames of one message arrive together.
[[nodiscard]] bool receive_frame(zmq::socket_ref socket, zmq::message_t& frame);

// Takes the frames off that follow `frame` in its message; true if there were any.
bool drop_rest_of_message(zmq::socket_ref socket, zmq::message_t& frame);

enum class SendOutcome {
  kTaken,  // the frame is ZeroMQ's, and empty here
  kFull,   // the queue is full: again once ZMQ_POLLOUT is set
  kGone,   // a ROUTER has no such peer
};
[[nodiscard]] SendOutcome send_frame(zmq::socket_ref socket, zmq::message_t& frame, bool more);

}  // namespace longhaul::proto
