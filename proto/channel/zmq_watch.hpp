// Runs a turn of work on an Asio loop whenever a ZeroMQ socket may have something to do.
#pragma once

#include <boost/asio/io_context.hpp>

#include <functional>
#include <memory>

#include <zmq.hpp>

namespace longhaul::proto {

// ZMQ_FD is edge-triggered and says only that ZMQ_EVENTS may have changed. So a turn has to receive
// until nothing is left, up to a bound of its own; and whoever sends or receives outside of a turn
// has to kick(), since that may have swallowed the edge. The watch must go before the socket. A
// turn may destroy it.
class ZmqWatch {
 public:
  // Returns true if it stopped at its bound with work left: it runs again, after others had theirs.
  using Turn = std::function<bool()>;

  ZmqWatch(boost::asio::io_context& loop, zmq::socket_ref socket, Turn turn);
  ~ZmqWatch();
  ZmqWatch(const ZmqWatch&) = delete;
  ZmqWatch& operator=(const ZmqWatch&) = delete;

  void kick();  // a turn runs soon, on the loop; asserts that this is its thread

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace longhaul::proto
