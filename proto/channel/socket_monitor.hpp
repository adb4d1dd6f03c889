// What happens to the connections under a ZeroMQ socket, told on the loop.
#pragma once

#include "proto/channel/zmq_watch.hpp"

#include <boost/asio/io_context.hpp>

#include <cstdint>
#include <functional>
#include <optional>

#include <zmq.hpp>

namespace longhaul::proto {

struct SocketEvent {
  std::uint16_t type = 0;   // ZMQ_EVENT_*
  std::uint32_t value = 0;  // of ZMQ_EVENT_DISCONNECTED and _ACCEPTED: the file descriptor
};

// Must go before the socket that it watches, and not from within its callback.
class SocketMonitor {
 public:
  struct Options {
    int events = ZMQ_EVENT_ALL;
    std::function<void(SocketEvent)> on_event;
  };

  SocketMonitor(zmq::context_t& context, boost::asio::io_context& loop, zmq::socket_ref watched,
                Options options);
  ~SocketMonitor();
  SocketMonitor(const SocketMonitor&) = delete;
  SocketMonitor& operator=(const SocketMonitor&) = delete;

  // Reports now whatever is waiting, for a caller who needs the events before what comes next.
  void drain();

 private:
  std::optional<SocketEvent> rest_of_event(zmq::message_t& frame);

  zmq::socket_ref watched_;
  std::function<void(SocketEvent)> on_event_;
  zmq::socket_t events_;
  std::optional<ZmqWatch> watch_;
};

}  // namespace longhaul::proto
