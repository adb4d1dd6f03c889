// A DEALER that dials one CURVE server and tells how its connection fares: what ControlClient and
// TensorChannel have in common.
#pragma once

#include "proto/channel/socket_monitor.hpp"
#include "proto/channel/socket_options.hpp"
#include "proto/channel/zmq_watch.hpp"

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <zmq.hpp>

namespace longhaul::proto {

// One thread: the loop's. Not to be destroyed from within its own callbacks.
class DiallingSocket {
 public:
  struct Options {
    std::string endpoint;
    std::string server_key;
    CurveKeyPair keys;
    SocketLimits limits;
    bool heartbeat = false;  // ZeroMQ's, else TCP's
    // ZeroMQ dials again by itself when a connection cannot be made or is lost. After a refusal it
    // gives up, so this class dials anew, with a new socket: what waited in the old one is lost.
    std::chrono::milliseconds redial_after_refusal{5'000};
    // After a connection was lost: the same, so that nothing is repeated there. Else ZeroMQ's
    // socket lives on, and sends what it had not sent once it has a connection again.
    bool fresh_after_loss = false;
    // Handshake done (then `reason` is empty), or what stands in the way.
    std::function<void(bool connected, const std::string& reason)> on_connection;
    // The same contract as ZmqWatch::Turn.
    std::function<bool()> on_turn;
  };

  // Throws zmq::error_t when out of descriptors.
  DiallingSocket(zmq::context_t& context, boost::asio::io_context& loop, Options options);
  ~DiallingSocket();
  DiallingSocket(const DiallingSocket&) = delete;
  DiallingSocket& operator=(const DiallingSocket&) = delete;

  [[nodiscard]] Result<void> dial();
  [[nodiscard]] zmq::socket_ref socket() { return connection_->socket; }
  void kick() { connection_->watch->kick(); }
  // Reports connection events that wait, before the caller looks at messages.
  void drain_events() { connection_->monitor->drain(); }
  // The connection cannot be used any more, whatever ZeroMQ thinks: dials anew. Not from on_turn.
  void abandon(const std::string& reason);
  // Ends the connection, once what was sent is out (at most the linger), and dials no more. Nothing
  // but the destructor may be called afterwards.
  void close();

 private:
  struct Connection {
    zmq::socket_t socket;
    std::optional<SocketMonitor> monitor;
    std::optional<ZmqWatch> watch;
  };

  void open();
  void on_event(SocketEvent event);
  [[nodiscard]] std::string impostor() const;
  void redial_later();
  void report(bool connected, std::string reason);

  zmq::context_t& context_;
  boost::asio::io_context& loop_;
  Options options_;
  boost::asio::steady_timer redial_;
  std::unique_ptr<Connection> connection_;
  bool redialling_ = false;
  std::uint16_t last_event_ = 0;
  std::optional<std::pair<bool, std::string>> reported_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace longhaul::proto
