// Turns ZeroMQ's connection events into "connected" or the reason why not.
#include "proto/channel/dialling_socket.hpp"

#include "proto/assert.hpp"

#include <fmt/format.h>

#include <utility>

namespace longhaul::proto {

DiallingSocket::DiallingSocket(zmq::context_t& context, boost::asio::io_context& loop,
                               Options options)
    : context_(context), loop_(loop), options_(std::move(options)), redial_(loop) {
  open();
}

DiallingSocket::~DiallingSocket() { close(); }

void DiallingSocket::open() {
  if (connection_) connection_->socket.set(zmq::sockopt::linger, 0);
  connection_.reset();
  auto next = std::make_unique<Connection>();
  next->socket = zmq::socket_t(context_, zmq::socket_type::dealer);
  set_limits(next->socket, options_.limits);
  set_curve_client(next->socket, options_.keys, options_.server_key);
  if (options_.heartbeat) {
    set_heartbeat(next->socket);
  } else {
    set_tcp_liveness(next->socket);
  }
  next->monitor.emplace(
      context_, loop_, next->socket,
      SocketMonitor::Options{.events = ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED |
                                       ZMQ_EVENT_HANDSHAKE_FAILED_AUTH |
                                       ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                                       ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                                       ZMQ_EVENT_CONNECT_RETRIED | ZMQ_EVENT_CLOSED,
                             .on_event = [this](SocketEvent event) { on_event(event); }});
  next->watch.emplace(loop_, next->socket, options_.on_turn);
  connection_ = std::move(next);
  redialling_ = false;
}

Result<void> DiallingSocket::dial() {
  return connect_socket(connection_->socket, options_.endpoint);
}

void DiallingSocket::on_event(SocketEvent event) {
  const std::string& where = options_.endpoint;
  const auto previous = std::exchange(last_event_, event.type);
  if (redialling_) return;  // what the refused connection still reports is a consequence
  switch (event.type) {
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
      return report(true, "");
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH:
      report(false, fmt::format("{} does not know this program's key: add {} to its "
                                "allowed keys, a coordinator's `peers`",
                                where, options_.keys.public_key));
      return redial_later();
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
      report(false, impostor());
      return redial_later();
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:  // the other end broke off: ZeroMQ dials again
      return report(false, impostor());
    case ZMQ_EVENT_DISCONNECTED:
      if (!reported_ || reported_->first) {
        report(false, fmt::format("the connection to {} was lost", where));
        if (options_.fresh_after_loss) redial_later();
      }
      return;
    case ZMQ_EVENT_CONNECT_RETRIED:
      // Told for the wait before every attempt, so also right after a connection ended. Where no
      // address could be found for the name, it is the only sign.
      if (previous != ZMQ_EVENT_CONNECT_RETRIED) return;
      [[fallthrough]];
    case ZMQ_EVENT_CLOSED:
      return report(false, fmt::format("cannot reach {}: check that it runs there and that no "
                                       "firewall is in the way; dialling again",
                                       where));
  }
}

std::string DiallingSocket::impostor() const {
  return fmt::format(
      "{} answers, but not as the Longhaul server with key {}: check the address, and "
      "the server's key here",
      options_.endpoint, options_.server_key);
}

void DiallingSocket::redial_later() {
  redialling_ = true;
  redial_.expires_after(options_.redial_after_refusal);
  redial_.async_wait(
      [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& cancelled) {
        if (cancelled || alive.expired() || !connection_) return;
        open();
        // The same address was taken before, so it is well formed.
        LONGHAUL_ASSERT(dial().has_value());
      });
}

void DiallingSocket::abandon(const std::string& reason) {
  if (redialling_ || !connection_) return;
  report(false, reason);
  redial_later();
}

void DiallingSocket::close() {
  redial_.cancel();
  // Nothing that waits for a peer out of reach would be delivered within the linger.
  if (connection_ && reported_ && !reported_->first)
    connection_->socket.set(zmq::sockopt::linger, 0);
  connection_.reset();
}

void DiallingSocket::report(bool connected, std::string reason) {
  std::pair<bool, std::string> news(connected, std::move(reason));
  if (reported_ == news) return;
  reported_ = news;
  options_.on_connection(news.first, news.second);
}

}  // namespace longhaul::proto
