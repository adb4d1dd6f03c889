// ControlClient: a DEALER that keeps dialling its server.
#include "proto/channel/control_channel.hpp"

#include "proto/assert.hpp"
#include "proto/channel/control_frame.hpp"
#include "proto/channel/dialling_socket.hpp"
#include "proto/channel/socket_calls.hpp"

#include <fmt/format.h>

#include <optional>
#include <utility>

namespace longhaul::proto {

class ControlClient::Impl {
 public:
  Impl(zmq::context_t& context, boost::asio::io_context& loop, Options options)
      : options_(std::move(options)),
        dialler_(context, loop,
                 {.endpoint = options_.endpoint,
                  .server_key = options_.server_key,
                  .keys = options_.keys,
                  .limits = {.max_frame_bytes = kMaxControlMessageBytes,
                             .sent_messages = kControlQueueMessages,
                             .received_messages = kControlQueueMessages,
                             .linger = std::chrono::milliseconds(kControlLingerMs)},
                  .heartbeat = true,
                  .on_connection = [this](bool connected,
                                          const std::string& reason) { tell(connected, reason); },
                  .on_turn = [this] { return turn(); }}) {}

  ~Impl() { LONGHAUL_ASSERT(!in_callback_); }

  Result<void> dial() { return dialler_.dial(); }

  bool send(const wire::Envelope& message) {
    std::optional<zmq::message_t> frame = control_frame(message);
    if (!frame) return false;
    const bool taken = send_frame(dialler_.socket(), *frame, false) == SendOutcome::kTaken;
    dialler_.kick();
    return taken;
  }

 private:
  static constexpr int kMessagesPerTurn = 64;

  void tell(bool connected, const std::string& reason) {
    if (!options_.on_connection) return;
    const bool nested = std::exchange(in_callback_, true);
    options_.on_connection(connected, reason);
    in_callback_ = nested;
  }

  bool turn() {
    dialler_.drain_events();  // "connected" comes before what came through the connection
    in_callback_ = true;
    int received = 0;
    while (received < kMessagesPerTurn && receive()) ++received;
    in_callback_ = false;
    return received == kMessagesPerTurn;
  }

  bool receive() {
    zmq::message_t frame;
    if (!receive_frame(dialler_.socket(), frame)) return false;
    auto envelope = envelope_from_wire({frame.data<std::byte>(), frame.size()});
    if (drop_rest_of_message(dialler_.socket(), frame)) return true;
    if (envelope.has_value() && options_.on_message) {
      options_.on_message(std::move(envelope).value());
    }
    return true;
  }

  Options options_;
  DiallingSocket dialler_;
  bool in_callback_ = false;
};

Result<std::unique_ptr<ControlClient>> ControlClient::open(zmq::context_t& context,
                                                           boost::asio::io_context& loop,
                                                           Options options) {
  if (!is_z85_key(options.server_key)) {
    return configuration_error(fmt::format(
        "'{}' is not a server key: 40 Z85 characters are expected", options.server_key));
  }
  if (!is_z85_key(options.keys.public_key) || !is_z85_key(options.keys.secret_key)) {
    return configuration_error("the control client's own key pair is not one of CURVE");
  }
  try {
    auto impl = std::make_unique<Impl>(context, loop, std::move(options));
    const auto dialled = impl->dial();
    if (dialled.has_error()) return dialled.error();
    return std::unique_ptr<ControlClient>(new ControlClient(std::move(impl)));
  } catch (const zmq::error_t& error) {
    return Error{ErrorKind::kResource,
                 fmt::format("cannot open a control client: {}", error.what())};
  }
}

ControlClient::ControlClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
ControlClient::~ControlClient() = default;
bool ControlClient::send(const wire::Envelope& message) { return impl_->send(message); }

}  // namespace longhaul::proto
