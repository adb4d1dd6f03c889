// TensorChannel: introduces the peers to each other and carries their messages.
#include "proto/channel/tensor_channel.hpp"

#include "proto/assert.hpp"
#include "proto/channel/socket_calls.hpp"
#include "proto/channel/tensor_link.hpp"
#include "proto/channel/zap_authenticator.hpp"

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace longhaul::proto {
namespace {

using State = TensorLink::State;

constexpr int kFragmentsPerTurn = 16;
constexpr int kReceivedFragments = 64;
// A peer that was told earlier whom to dial meets an acceptor that was not told yet whom to let in.
constexpr std::chrono::milliseconds kRedialAfterRefusal{250};

std::string listening_address(const std::string& host) {
  const bool bare_ipv6 = host.find(':') != std::string::npos && !host.starts_with('[');
  return bare_ipv6 ? fmt::format("tcp://[{}]:*", host) : fmt::format("tcp://{}:*", host);
}

SocketLimits limits_of(const TensorChannel::Options& options) {
  return {.max_frame_bytes = std::max(kFragmentBytes, kMaxTensorHeaderBytes),
          // A payload's memory is held until it is sent, whether it waits here or in ZeroMQ.
          // Without a limit there it waits there, and no message is ever refused for want of room.
          .sent_messages = 0,
          .received_messages = kReceivedFragments,
          .linger = options.linger};
}

}  // namespace

class TensorChannel::Impl {
 public:
  Impl(zmq::context_t& context, boost::asio::io_context& loop, Options options)
      : context_(context),
        loop_(loop),
        options_(std::move(options)),
        zap_(context, loop, [this](const std::string& key) { return by_key_.contains(key); }),
        socket_(context, zmq::socket_type::router) {
    set_limits(socket_, limits_of(options_));
    set_curve_server(socket_, options_.keys, zap_.name());
    set_tcp_liveness(socket_);
    socket_.set(zmq::sockopt::router_mandatory, true);
    // Never: a peer that takes another's routing id over would receive that one's tensors.
    socket_.set(zmq::sockopt::router_handover, false);
  }

  ~Impl() { LONGHAUL_ASSERT(!in_callback_); }

  Result<void> start();
  [[nodiscard]] std::string endpoint() const;
  void accept(StageIndex peer, const std::string& public_key);
  Result<void> dial(StageIndex peer, const std::string& endpoint, const std::string& public_key);
  void send(StageIndex peer, wire::TensorHeader header, Payload payload);
  [[nodiscard]] const TensorLink& link(StageIndex peer) const;

 private:
  TensorLink& add(StageIndex peer);
  void transmit(TensorLink& link, wire::TensorHeader header, Payload payload);
  bool accepting_turn();
  bool dialling_turn(TensorLink& link);
  void on_dialled(TensorLink& link, bool connected, const std::string& reason);
  void on_event(SocketEvent event);
  void on_frames(TensorLink& link, IncomingFrames frames);
  void on_introduction(TensorLink& link);
  void report_if_disconnected(TensorLink& link);
  void lose(TensorLink& link, Error error);

  // Runs `callback` with the assertion armed that it does not destroy this channel.
  template <class Callback, class... Arguments>
  void call(const Callback& callback, Arguments&&... arguments) {
    if (!callback) return;
    const bool nested = std::exchange(in_callback_, true);
    callback(std::forward<Arguments>(arguments)...);
    in_callback_ = nested;
  }
  // Runs `task` on the loop unless this channel is gone by then.
  template <class Task>
  void later(Task task) {
    boost::asio::post(loop_, [alive = std::weak_ptr(alive_), task = std::move(task)] {
      if (!alive.expired()) task();
    });
  }

  zmq::context_t& context_;
  boost::asio::io_context& loop_;
  Options options_;
  std::map<std::string, StageIndex> by_key_;  // whom to let in
  ZapDomain zap_;
  zmq::socket_t socket_;
  std::optional<SocketMonitor> monitor_;
  std::optional<ZmqWatch> watch_;
  std::set<int> connections_;  // accepted and not ended: their descriptors
  std::map<StageIndex, TensorLink> links_;
  PayloadMemory memory_;
  bool in_callback_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

Result<void> TensorChannel::Impl::start() {
  const auto bound = bind_socket(socket_, listening_address(options_.bind_host));
  if (bound.has_error()) return bound.error();
  monitor_.emplace(
      context_, loop_, socket_,
      SocketMonitor::Options{.events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED,
                             .on_event = [this](SocketEvent event) { on_event(event); }});
  watch_.emplace(loop_, socket_, [this] { return accepting_turn(); });
  return {};
}

std::string TensorChannel::Impl::endpoint() const {
  const std::string bound = socket_.get(zmq::sockopt::last_endpoint);
  if (options_.advertise_host.empty()) return bound;
  return fmt::format("tcp://{}{}", options_.advertise_host, bound.substr(bound.rfind(':')));
}

const TensorLink& TensorChannel::Impl::link(StageIndex peer) const {
  const auto found = links_.find(peer);
  LONGHAUL_ASSERT(found != links_.end());
  return found->second;
}

TensorLink& TensorChannel::Impl::add(StageIndex peer) {
  const LinkEnds ends{.self = options_.self, .peer = peer, .epoch = options_.epoch};
  const auto [place, fresh] = links_.try_emplace(peer, loop_, ends);
  LONGHAUL_ASSERT(fresh && peer != options_.self);
  TensorLink& link = place->second;
  link.deadline.expires_after(options_.link_timeout);
  link.deadline.async_wait(
      [this, alive = std::weak_ptr(alive_), &link](const boost::system::error_code& cancelled) {
        if (cancelled || alive.expired() || link.state != State::kExpected) return;
        lose(link, {ErrorKind::kLost,
                    fmt::format("stage {} did not link with stage {} within {} s: {}",
                                link.ends.peer.value, options_.self.value,
                                std::chrono::duration<double>(options_.link_timeout).count(),
                                link.obstacle)});
      });
  return link;
}

void TensorChannel::Impl::accept(StageIndex peer, const std::string& public_key) {
  TensorLink& link = add(peer);
  link.obstacle =
      fmt::format("it has not dialled {}; check that it can reach this address", endpoint());
  const auto [place, fresh] = by_key_.emplace(public_key, peer);
  if (fresh) return;
  later([this, &link, other = place->second] {
    lose(link, {ErrorKind::kInternal, fmt::format("stages {} and {} have the same key", other.value,
                                                  link.ends.peer.value)});
  });
}

Result<void> TensorChannel::Impl::dial(StageIndex peer, const std::string& endpoint,
                                       const std::string& public_key) {
  if (!is_z85_key(public_key)) {
    return Error{ErrorKind::kInternal,
                 fmt::format("the key of stage {} is no CURVE key: '{}'", peer.value, public_key)};
  }
  TensorLink& link = add(peer);
  link.obstacle = fmt::format("{} does not answer", endpoint);
  try {
    link.dialler = std::make_unique<DiallingSocket>(
        context_, loop_,
        DiallingSocket::Options{.endpoint = endpoint,
                                .server_key = public_key,
                                .keys = options_.keys,
                                .limits = limits_of(options_),
                                .heartbeat = false,
                                .redial_after_refusal = kRedialAfterRefusal,
                                .on_connection =
                                    [this, &link](bool connected, const std::string& reason) {
                                      on_dialled(link, connected, reason);
                                    },
                                .on_turn = [this, &link] { return dialling_turn(link); }});
  } catch (const zmq::error_t& error) {
    return Error{ErrorKind::kResource, fmt::format("cannot dial {}: {}", endpoint, error.what())};
  }
  return link.dialler->dial();
}

void TensorChannel::Impl::send(StageIndex peer, wire::TensorHeader header, Payload payload) {
  const auto found = links_.find(peer);
  LONGHAUL_ASSERT(found != links_.end() && found->second.state != State::kExpected);
  LONGHAUL_ASSERT(payload.bytes.size() <= kMaxTensorPayloadBytes);
  if (found->second.state == State::kLost) return;
  transmit(found->second, std::move(header), std::move(payload));
}

void TensorChannel::Impl::transmit(TensorLink& link, wire::TensorHeader header, Payload payload) {
  link.stamp(header);
  header.set_payload_bytes(payload.bytes.size());
  header.set_checksum(checksum(payload.bytes));
  zmq::message_t head = header_frame(header);
  link.bytes_sent += head.size() + payload.bytes.size();
  const zmq::socket_ref socket = link.dialler ? link.dialler->socket() : zmq::socket_ref(socket_);
  SendOutcome outcome = SendOutcome::kTaken;
  std::size_t offset = 0;
  do {
    if (!link.dialler) {
      zmq::message_t routing_id(link.routing_id.data(), link.routing_id.size());
      outcome = send_frame(socket, routing_id, true);
    }
    if (offset == 0 && outcome == SendOutcome::kTaken) outcome = send_frame(socket, head, true);
    zmq::message_t fragment = fragment_frame(payload, offset, link.held);
    offset += fragment.size();
    if (outcome == SendOutcome::kTaken) outcome = send_frame(socket, fragment, false);
  } while (offset < payload.bytes.size() && outcome == SendOutcome::kTaken);
  // Sending looks at the socket's events, and so may have used up the edge of its descriptor.
  link.dialler ? link.dialler->kick() : watch_->kick();
  // Queues have no limit, so that a message is refused only where there is no connection.
  if (outcome != SendOutcome::kTaken) link.disconnected = true;
}

bool TensorChannel::Impl::accepting_turn() {
  for (int received = 0; received < kFragmentsPerTurn; ++received) {
    std::optional<IncomingFrames> frames = receive_frames(socket_, true);
    if (!frames) {
      for (auto& [peer, link] : links_) {
        if (!link.dialler) report_if_disconnected(link);
      }
      return false;
    }
    const auto peer = by_key_.find(frames->public_key);
    if (peer != by_key_.end()) on_frames(links_.at(peer->second), std::move(*frames));
  }
  return true;
}

bool TensorChannel::Impl::dialling_turn(TensorLink& link) {
  for (int received = 0; received < kFragmentsPerTurn; ++received) {
    std::optional<IncomingFrames> frames = receive_frames(link.dialler->socket(), false);
    if (!frames) {
      report_if_disconnected(link);
      return false;
    }
    on_frames(link, std::move(*frames));
  }
  return true;
}

void TensorChannel::Impl::on_dialled(TensorLink& link, bool connected, const std::string& reason) {
  link.obstacle = connected ? "it does not answer the introduction" : reason;
  if (connected && link.state == State::kExpected) {
    link.disconnected = false;
    link.restart();
    wire::TensorHeader hello;
    hello.set_kind(wire::TensorHeader::HELLO);
    transmit(link, std::move(hello), {});
  } else {
    link.disconnected =
        true;  // a connection that replaces the one of a link is no better than none
    link.dialler->kick();
  }
}

void TensorChannel::Impl::on_event(SocketEvent event) {
  const int descriptor = static_cast<int>(event.value);
  if (event.type == ZMQ_EVENT_ACCEPTED) {
    connections_.insert(descriptor);
    return;
  }
  connections_.erase(descriptor);
  for (auto& [peer, link] : links_) {
    if (link.state != State::kLinked || link.dialler || link.descriptor != descriptor) continue;
    link.disconnected = true;
    watch_->kick();
  }
}

void TensorChannel::Impl::report_if_disconnected(TensorLink& link) {
  if (!link.disconnected || link.state != State::kLinked) return;
  lose(link, {ErrorKind::kLost,
              fmt::format("the connection to stage {} was lost", link.ends.peer.value)});
}

void TensorChannel::Impl::on_frames(TensorLink& link, IncomingFrames frames) {
  if (link.state == State::kLost) return;
  auto arrival = link.take(std::move(frames), options_.max_payload_bytes, memory_);
  if (arrival.has_error()) return lose(link, arrival.error());
  switch (arrival.value().kind) {
    case Arrival::Kind::kNothing:
      return;
    case Arrival::Kind::kIntroduction:
      return on_introduction(link);
    case Arrival::Kind::kMessage:
      return call(options_.on_message, std::move(arrival.value().header),
                  std::move(arrival.value().payload));
  }
}

void TensorChannel::Impl::on_introduction(TensorLink& link) {
  if (!link.dialler) {
    // While the link is not up yet, so that the end of an older connection is not taken for the end
    // of this one, whose descriptor may have the same number.
    monitor_->drain();
    link.disconnected = !connections_.contains(link.descriptor);
    wire::TensorHeader reply;
    reply.set_kind(wire::TensorHeader::HELLO_REPLY);
    transmit(link, std::move(reply), {});
  }
  link.state = State::kLinked;
  link.deadline.cancel();
  call(options_.on_linked, link.ends.peer);
}

void TensorChannel::Impl::lose(TensorLink& link, Error error) {
  if (link.state == State::kLost) return;
  link.state = State::kLost;
  link.arriving.reset();
  link.deadline.cancel();
  if (link.dialler) {
    // Not at once: this may be the socket's own turn. Until then it must not dial again.
    later([this, &link] { link.dialler->close(); });
  }
  call(options_.on_error, link.ends.peer, std::move(error));
}

Result<std::unique_ptr<TensorChannel>> TensorChannel::open(zmq::context_t& context,
                                                           boost::asio::io_context& loop,
                                                           Options options) {
  if (!is_z85_key(options.keys.public_key) || !is_z85_key(options.keys.secret_key)) {
    return configuration_error("the tensor channel's own key pair is not one of CURVE");
  }
  try {
    auto impl = std::make_unique<Impl>(context, loop, std::move(options));
    const auto started = impl->start();
    if (started.has_error()) return started.error();
    return std::unique_ptr<TensorChannel>(new TensorChannel(std::move(impl)));
  } catch (const zmq::error_t& error) {
    return Error{ErrorKind::kResource,
                 fmt::format("cannot open a tensor channel: {}", error.what())};
  }
}

TensorChannel::TensorChannel(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TensorChannel::~TensorChannel() = default;
std::string TensorChannel::endpoint() const { return impl_->endpoint(); }
void TensorChannel::accept(StageIndex peer, const std::string& public_key) {
  impl_->accept(peer, public_key);
}
Result<void> TensorChannel::dial(StageIndex peer, const std::string& endpoint,
                                 const std::string& public_key) {
  return impl_->dial(peer, endpoint, public_key);
}
void TensorChannel::send(StageIndex peer, wire::TensorHeader header, Payload payload) {
  impl_->send(peer, std::move(header), std::move(payload));
}
std::uint64_t TensorChannel::bytes_sent(StageIndex peer) const {
  return impl_->link(peer).bytes_sent;
}
std::uint64_t TensorChannel::bytes_waiting(StageIndex peer) const {
  return impl_->link(peer).held->load(std::memory_order_relaxed);
}

}  // namespace longhaul::proto
