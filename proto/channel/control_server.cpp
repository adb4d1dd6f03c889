// ControlServer: a ROUTER whose peers are known by their CURVE keys.
#include "proto/channel/control_channel.hpp"

#include "proto/assert.hpp"
#include "proto/channel/control_frame.hpp"
#include "proto/channel/socket_calls.hpp"
#include "proto/channel/socket_options.hpp"
#include "proto/channel/zap_authenticator.hpp"
#include "proto/channel/zmq_watch.hpp"

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace longhaul::proto {

class ControlServer::Impl {
 public:
  Impl(zmq::context_t& context, boost::asio::io_context& loop, Options options)
      : options_(std::move(options)),
        zap_(context, loop, options_.allow),
        socket_(context, zmq::socket_type::router) {
    set_limits(socket_, {.max_frame_bytes = kMaxControlMessageBytes,
                         .sent_messages = kControlQueueMessages,
                         .received_messages = kControlQueueMessages,
                         .linger = std::chrono::milliseconds(kControlLingerMs)});
    set_curve_server(socket_, options_.keys, zap_.name());
    set_heartbeat(socket_);
    socket_.set(zmq::sockopt::router_mandatory, true);
    // Never: a peer that takes another's routing id over would receive what is meant for that one.
    socket_.set(zmq::sockopt::router_handover, false);
  }

  ~Impl() { LONGHAUL_ASSERT(!in_turn_); }

  Result<void> start(boost::asio::io_context& loop) {
    const auto bound = bind_socket(socket_, options_.bind);
    if (bound.has_error()) return bound.error();
    watch_.emplace(loop, socket_, [this] { return turn(); });
    return {};
  }

  [[nodiscard]] std::string endpoint() const { return socket_.get(zmq::sockopt::last_endpoint); }

  bool send(const ControlPeer& to, const wire::Envelope& message) {
    std::optional<zmq::message_t> frame = control_frame(message);
    if (!frame) return false;
    zmq::message_t routing_id(to.connection.data(), to.connection.size());
    const bool taken = send_frame(socket_, routing_id, true) == SendOutcome::kTaken &&
                       send_frame(socket_, *frame, false) == SendOutcome::kTaken;
    watch_->kick();
    return taken;
  }

 private:
  static constexpr int kMessagesPerTurn = 64;

  bool turn() {
    in_turn_ = true;
    int received = 0;
    while (received < kMessagesPerTurn && receive()) ++received;
    in_turn_ = false;
    return received == kMessagesPerTurn;
  }

  // Frames: routing id, Envelope. False if nothing waits.
  bool receive() {
    zmq::message_t frame;
    if (!receive_frame(socket_, frame)) return false;
    const std::string connection = frame.to_string();
    if (!frame.more() || !receive_frame(socket_, frame)) return true;
    ControlPeer peer{connection, verified_key(frame)};
    auto envelope = envelope_from_wire({frame.data<std::byte>(), frame.size()});
    if (drop_rest_of_message(socket_, frame) || peer.public_key.empty()) return true;
    if (envelope.has_value() && options_.on_message) {
      options_.on_message(peer, std::move(envelope).value());
    }
    return true;
  }

  Options options_;
  ZapDomain zap_;
  zmq::socket_t socket_;
  std::optional<ZmqWatch> watch_;
  bool in_turn_ = false;
};

Result<std::unique_ptr<ControlServer>> ControlServer::open(zmq::context_t& context,
                                                           boost::asio::io_context& loop,
                                                           Options options) {
  if (!is_z85_key(options.keys.secret_key)) {
    return configuration_error("the control server's secret key is not a CURVE key");
  }
  try {
    auto impl = std::make_unique<Impl>(context, loop, std::move(options));
    const auto started = impl->start(loop);
    if (started.has_error()) return started.error();
    return std::unique_ptr<ControlServer>(new ControlServer(std::move(impl)));
  } catch (const zmq::error_t& error) {
    return Error{ErrorKind::kResource,
                 fmt::format("cannot open a control server: {}", error.what())};
  }
}

ControlServer::ControlServer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControlServer::~ControlServer() = default;
std::string ControlServer::endpoint() const { return impl_->endpoint(); }
bool ControlServer::send(const ControlPeer& to, const wire::Envelope& message) {
  return impl_->send(to, message);
}

}  // namespace longhaul::proto
