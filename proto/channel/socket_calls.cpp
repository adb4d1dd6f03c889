// Wraps the C calls: what cppzmq throws for, a network program expects.
#include "proto/channel/socket_calls.hpp"

#include <cerrno>

namespace longhaul::proto {

bool receive_frame(zmq::socket_ref socket, zmq::message_t& frame) {
  while (zmq_msg_recv(frame.handle(), socket.handle(), ZMQ_DONTWAIT) < 0) {
    if (zmq_errno() == EINTR) continue;
    if (zmq_errno() != EAGAIN) throw zmq::error_t();
    return false;
  }
  return true;
}

bool drop_rest_of_message(zmq::socket_ref socket, zmq::message_t& frame) {
  bool any = false;
  while (frame.more()) {
    if (!receive_frame(socket, frame)) break;
    any = true;
  }
  return any;
}

SendOutcome send_frame(zmq::socket_ref socket, zmq::message_t& frame, bool more) {
  const int flags = ZMQ_DONTWAIT | (more ? ZMQ_SNDMORE : 0);
  while (zmq_msg_send(frame.handle(), socket.handle(), flags) < 0) {
    switch (zmq_errno()) {
      case EINTR:
        break;
      case EAGAIN:
        return SendOutcome::kFull;
      case EHOSTUNREACH:
        return SendOutcome::kGone;
      default:
        throw zmq::error_t();
    }
  }
  return SendOutcome::kTaken;
}

}  // namespace longhaul::proto
