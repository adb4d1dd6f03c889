// Reads the frames of zmq_socket_monitor.
#include "proto/channel/socket_monitor.hpp"

#include "proto/channel/socket_calls.hpp"

#include <fmt/format.h>

#include <atomic>
#include <cstring>
#include <string>
#include <utility>

namespace longhaul::proto {

SocketMonitor::SocketMonitor(zmq::context_t& context, boost::asio::io_context& loop,
                             zmq::socket_ref watched, Options options)
    : watched_(watched),
      on_event_(std::move(options.on_event)),
      events_(context, zmq::socket_type::pair) {
  static std::atomic<std::uint64_t> next{0};  // inproc names are shared by the whole context
  const std::string address = fmt::format("inproc://longhaul-monitor-{}", next.fetch_add(1));
  // Without a limit: at a limit ZeroMQ would block the I/O thread that reports.
  events_.set(zmq::sockopt::rcvhwm, 0);
  events_.set(zmq::sockopt::linger, 0);
  if (zmq_socket_monitor(watched_.handle(), address.c_str(), options.events) != 0) {
    throw zmq::error_t();
  }
  events_.connect(address);
  watch_.emplace(loop, events_, [this] {
    drain();
    return false;
  });
}

SocketMonitor::~SocketMonitor() {
  watch_.reset();
  zmq_socket_monitor(watched_.handle(), nullptr, 0);
}

void SocketMonitor::drain() {
  zmq::message_t frame;
  while (receive_frame(events_, frame)) {
    if (const auto event = rest_of_event(frame)) on_event_(*event);
  }
}

// Two frames: type and value in 6 bytes of host order, then the endpoint.
std::optional<SocketEvent> SocketMonitor::rest_of_event(zmq::message_t& frame) {
  SocketEvent event;
  const bool known = frame.size() == sizeof event.type + sizeof event.value;
  if (known) {
    std::memcpy(&event.type, frame.data(), sizeof event.type);
    std::memcpy(&event.value, static_cast<const char*>(frame.data()) + sizeof event.type,
                sizeof event.value);
  }
  drop_rest_of_message(events_, frame);
  return known ? std::optional(event) : std::nullopt;
}

}  // namespace longhaul::proto
