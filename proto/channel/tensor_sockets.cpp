// Sockets in, link state out, and back.
#include "proto/channel/tensor_sockets.hpp"

#include "proto/assert.hpp"
#include "proto/channel/monotonic.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

namespace longhaul::proto {
namespace {

using State = TensorLink::State;
using std::chrono::milliseconds;

constexpr int kFramesPerTurn = 16;
constexpr int kReceivedFrames = 64;
// A peer that was told earlier whom to dial meets an acceptor that was not told yet whom to let in;
// and a path that was cut may be back at once.
constexpr milliseconds kRedialAfter{250};

std::string listening_address(const std::string& host) {
  const bool bare_ipv6 = host.find(':') != std::string::npos && !host.starts_with('[');
  return bare_ipv6 ? fmt::format("tcp://[{}]:*", host) : fmt::format("tcp://{}:*", host);
}

SocketLimits limits_of(const TensorChannel::Options& options) {
  return {.max_frame_bytes = std::max(kMaxFragmentBytes, kMaxTensorHeaderBytes),
          // What is on its way is bounded by TensorSender's window.
          .sent_messages = 0,
          .received_messages = kReceivedFrames,
          .linger = options.linger};
}

}  // namespace

TensorSockets::TensorSockets(zmq::context_t& context, boost::asio::io_context& loop,
                             TensorChannel::Options options)
    : context_(context),
      loop_(loop),
      options_(std::move(options)),
      zap_(context, loop, [this](const std::string& key) { return by_key_.contains(key); }),
      socket_(context, zmq::socket_type::router),
      ticker_(loop),
      teller_(loop) {
  set_limits(socket_, limits_of(options_));
  set_curve_server(socket_, options_.keys, zap_.name());
  set_tcp_liveness(socket_);
  socket_.set(zmq::sockopt::router_mandatory, true);
  // Never: a peer that takes another's routing id over would receive that one's tensors.
  socket_.set(zmq::sockopt::router_handover, false);
}

TensorSockets::~TensorSockets() { LONGHAUL_ASSERT(!in_callback_); }

Result<void> TensorSockets::start() {
  const auto bound = bind_socket(socket_, listening_address(options_.bind_host));
  if (bound.has_error()) return bound.error();
  monitor_.emplace(
      context_, loop_, socket_,
      SocketMonitor::Options{.events = ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED,
                             .on_event = [this](SocketEvent event) { on_event(event); }});
  watch_.emplace(loop_, socket_, [this] { return accepting_turn(); });
  return {};
}

std::string TensorSockets::endpoint() const {
  const std::string bound = socket_.get(zmq::sockopt::last_endpoint);
  if (options_.advertise_host.empty()) return bound;
  return fmt::format("tcp://{}{}", options_.advertise_host, bound.substr(bound.rfind(':')));
}

const TensorLink& TensorSockets::link(StageIndex peer) const {
  const auto found = links_.find(peer);
  LONGHAUL_ASSERT(found != links_.end());
  return found->second;
}

LinkState TensorSockets::state(StageIndex peer) const {
  const TensorLink& link = this->link(peer);
  return {.measure = link.sender.meter().measure(),
          .connections = std::min(link.fragment_lanes_up(), link.sender.wanted_lanes()),
          .losses = link.losses};
}

TensorLink& TensorSockets::add(StageIndex peer) {
  LONGHAUL_ASSERT(peer != options_.self);
  if (links_.empty()) tick_later();
  const auto [place, fresh] = links_.try_emplace(
      peer, LinkEnds{.self = options_.self, .peer = peer, .epoch = options_.epoch},
      TensorReceiver::Limits{.max_payload_bytes = options_.max_payload_bytes,
                             .credit_bytes = options_.credit_bytes,
                             .max_lanes = options_.max_lanes},
      memory_);
  LONGHAUL_ASSERT(fresh);
  place->second.incomplete_since_us = monotonic_us();
  return place->second;
}

void TensorSockets::accept(StageIndex peer, const std::string& public_key) {
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

Result<void> TensorSockets::dial(StageIndex peer, const std::string& endpoint,
                                 const std::string& public_key) {
  if (!is_z85_key(public_key)) {
    return Error{ErrorKind::kInternal,
                 fmt::format("the key of stage {} is no CURVE key: '{}'", peer.value, public_key)};
  }
  TensorLink& link = add(peer);
  link.obstacle = fmt::format("{} does not answer", endpoint);
  link.endpoint = endpoint;
  link.public_key = public_key;
  const auto status = dial_lane(link, kStatusLane);
  if (status.has_error()) return status;
  return dial_lane(link, kStatusLane + 1);
}

Result<void> TensorSockets::dial_lane(TensorLink& link, std::uint32_t lane) {
  LaneConnection& connection = link.lanes[lane];
  try {
    connection.dialler = std::make_unique<DiallingSocket>(
        context_, loop_,
        DiallingSocket::Options{
            .endpoint = link.endpoint,
            .server_key = link.public_key,
            .keys = options_.keys,
            .limits = limits_of(options_),
            .heartbeat = false,
            .redial_after_refusal = kRedialAfter,
            .fresh_after_loss = true,
            .on_connection =
                [this, &link, lane](bool connected, const std::string& reason) {
                  on_dialled(link, lane, connected, reason);
                },
            .on_turn = [this, &link, lane] { return dialling_turn(link, lane); }});
  } catch (const zmq::error_t& error) {
    return Error{ErrorKind::kResource,
                 fmt::format("cannot dial {}: {}", link.endpoint, error.what())};
  }
  return connection.dialler->dial();
}

void TensorSockets::dial_wanted_lanes(TensorLink& link) {
  if (link.endpoint.empty()) return;  // the other side dials
  const std::uint32_t wanted =
      std::min(std::max(link.sender.wanted_lanes(), link.their_wanted_lanes), options_.max_lanes);
  for (std::uint32_t lane = 1; lane <= wanted; ++lane) {
    if (link.lanes[lane].dialler) continue;
    // Without more connections the link goes on with those that it has.
    if (dial_lane(link, lane).has_error()) link.lanes[lane].dialler.reset();
  }
}

void TensorSockets::send(StageIndex peer, wire::TensorHeader header, Payload payload) {
  const auto found = links_.find(peer);
  LONGHAUL_ASSERT(found != links_.end() && found->second.state != State::kExpected);
  LONGHAUL_ASSERT(payload.bytes.size() <= kMaxTensorPayloadBytes);
  if (found->second.state == State::kLost) return;
  TensorLink& link = found->second;
  link.send(std::move(header), std::move(payload));
  if (link.sender.has_plenty()) return pump(link);
  // What else is sent in this turn of the loop goes out with it.
  if (std::exchange(link.pumps_later, true)) return;
  later([this, &link] {
    link.pumps_later = false;
    pump(link);
  });
}

void TensorSockets::used(StageIndex peer, std::uint64_t payload_bytes) {
  const auto found = links_.find(peer);
  LONGHAUL_ASSERT(found != links_.end());
  found->second.receiver.on_used(payload_bytes);
  if (found->second.receiver.has_urgent_news()) send_status(found->second);
}

bool TensorSockets::put(TensorLink& link, std::uint32_t lane, const wire::LinkFrame& frame,
                        std::span<const Payload> pieces) {
  LaneConnection& connection = link.lanes[lane];
  const bool dials = connection.dialler != nullptr;
  const zmq::socket_ref socket = dials ? connection.dialler->socket() : zmq::socket_ref(socket_);
  SendOutcome outcome = SendOutcome::kTaken;
  if (!dials) {
    zmq::message_t routing_id(connection.routing_id.data(), connection.routing_id.size());
    outcome = send_frame(socket, routing_id, true);
  }
  const bool inside = pieces.size() == 1 && pieces.front().bytes.size() <= kMaxInlineBytes;
  zmq::message_t head = link_frame(frame, inside ? &pieces.front() : nullptr);
  if (inside) pieces = {};
  if (outcome == SendOutcome::kTaken) outcome = send_frame(socket, head, !pieces.empty());
  for (std::size_t i = 0; i < pieces.size() && outcome == SendOutcome::kTaken; ++i) {
    zmq::message_t body = piece_frame(pieces[i]);
    outcome = send_frame(socket, body, i + 1 < pieces.size());
  }
  // Sending looks at the socket's events, and so may have used up the edge of its descriptor.
  dials ? connection.dialler->kick() : watch_->kick();
  // Queues have no limit, so that a message is refused only where there is no connection.
  if (outcome != SendOutcome::kTaken) connection.disconnected = true;
  return outcome == SendOutcome::kTaken;
}

void TensorSockets::pump(TensorLink& link) {
  if (link.state != State::kLinked) return;
  const std::int64_t now = monotonic_us();
  link.sender.pump(now, [&](OutgoingFragments together) {
    wire::LinkFrame frame;
    frame.set_sent_us(now);
    *frame.mutable_fragments() = std::move(together.headers);
    return put(link, together.lane, frame, together.pieces);
  });
}

void TensorSockets::introduce(TensorLink& link, std::uint32_t lane) {
  ++link.lanes[lane].number;
  wire::LinkFrame frame;
  frame.set_sent_us(monotonic_us());
  *frame.mutable_introduction() = link.introduction(lane);
  (void)put(link, lane, frame, {});
}

void TensorSockets::send_status(TensorLink& link) {
  if (link.state != State::kLinked || !link.lanes[kStatusLane].up) return;
  const std::int64_t now = monotonic_us();
  wire::LinkFrame frame;
  frame.set_sent_us(now);
  *frame.mutable_status() = link.receiver.status(now);
  frame.mutable_status()->set_wanted_lanes(link.sender.wanted_lanes());
  link.status_sent_us = now;
  (void)put(link, kStatusLane, frame, {});
}

bool TensorSockets::accepting_turn() {
  bool left = true;
  for (int received = 0; left && received < kFramesPerTurn; ++received) {
    std::optional<IncomingFrames> frames = receive_frames(socket_, true);
    left = frames.has_value();
    if (frames) on_accepted_frames(std::move(*frames));
  }
  if (!left) {
    for (auto& [peer, link] : links_) {
      if (link.endpoint.empty()) drop_disconnected(link);
    }
  }
  after_turn();
  return left;
}

bool TensorSockets::dialling_turn(TensorLink& link, std::uint32_t lane) {
  bool left = true;
  for (int received = 0; left && received < kFramesPerTurn; ++received) {
    std::optional<IncomingFrames> frames =
        receive_frames(link.lanes[lane].dialler->socket(), false);
    left = frames.has_value();
    if (frames) on_frames(link, lane, std::move(*frames));
  }
  if (!left) drop_disconnected(link);
  after_turn();
  return left;
}

void TensorSockets::after_turn() {
  for (auto& [peer, link] : links_) {
    if (link.receiver.has_urgent_news()) send_status(link);
    if (link.receiver.has_news()) tell_later();
  }
  say_farewell();
}

void TensorSockets::on_dialled(TensorLink& link, std::uint32_t lane, bool connected,
                               const std::string& reason) {
  link.obstacle = connected ? "it does not answer the introduction" : reason;
  if (link.state == State::kLost) return;
  if (connected) {
    introduce(link, lane);
  } else {
    link.lanes[lane].disconnected = true;
    link.lanes[lane].dialler->kick();
  }
}

void TensorSockets::on_event(SocketEvent event) {
  const int descriptor = static_cast<int>(event.value);
  if (event.type == ZMQ_EVENT_ACCEPTED) {
    connections_.insert(descriptor);
    return;
  }
  connections_.erase(descriptor);
  for (auto& [peer, link] : links_) {
    if (!link.endpoint.empty()) continue;
    for (LaneConnection& connection : link.lanes) {
      if (!connection.up || connection.descriptor != descriptor) continue;
      connection.disconnected = true;
      watch_->kick();
    }
  }
}

void TensorSockets::drop_disconnected(TensorLink& link) {
  for (std::uint32_t lane = 0; lane < link.lanes.size(); ++lane) {
    if (link.lanes[lane].disconnected && link.lanes[lane].up) on_lane_down(link, lane);
  }
}

void TensorSockets::on_accepted_frames(IncomingFrames frames) {
  const auto by_key = by_key_.find(frames.public_key);
  if (by_key == by_key_.end()) return;
  TensorLink& link = links_.at(by_key->second);
  const auto known = by_routing_id_.find(frames.routing_id);
  if (known != by_routing_id_.end() && known->second.first == by_key->second)
    return on_frames(link, known->second.second, std::move(frames));
  // A connection says first whose it is. One that does not is what ZeroMQ left of a lost one.
  if (link.state == State::kLost || !frames.frame || !frames.pieces.empty()) return;
  const auto received = decode_frames(frames);
  if (received.has_error()) {
    return lose(link,
                with_context(fmt::format("stage {}", link.ends.peer.value), received.error()));
  }
  if (received.value().frame.has_introduction()) {
    on_introduction(link, frames, received.value().frame.introduction());
  }
}

void TensorSockets::on_frames(TensorLink& link, std::uint32_t lane, IncomingFrames frames) {
  if (link.state == State::kLost) return;
  if (!frames.frame || frames.more) return lose(link, link.broken("sent frames of no known kind"));
  auto received = decode_frames(frames);
  if (received.has_error()) {
    return lose(link,
                with_context(fmt::format("stage {}", link.ends.peer.value), received.error()));
  }
  wire::LinkFrame& frame = received.value().frame;
  LaneConnection& connection = link.lanes[lane];
  connection.heard_us = monotonic_us();
  if (frame.has_answer() && connection.dialler && !connection.up) {
    return on_answer(link, lane, frame.answer());
  }
  if (!connection.up) return;  // of a connection that was given up
  if (frame.has_fragments() && lane != kStatusLane) {
    return on_fragments(link, lane, std::move(*frame.mutable_fragments()),
                        std::move(received.value().pieces));
  }
  if (frame.has_status() && lane == kStatusLane) return on_status(link, frame);
  lose(link, link.broken("speaks out of turn"));
}

void TensorSockets::on_introduction(TensorLink& link, const IncomingFrames& frames,
                                    const wire::Introduction& theirs) {
  if (!link.endpoint.empty()) return lose(link, link.broken("dialled, and was dialled"));
  const auto checked = link.check(theirs);
  if (checked.has_error()) return lose(link, checked.error());
  LaneConnection& connection = link.lanes[theirs.lane()];
  if (theirs.connection() <= connection.number) return;  // overtaken by its successor
  if (connection.up) on_lane_down(link, theirs.lane());
  // So that the end of an older connection is not taken for the end of this one, whose descriptor
  // may have the same number.
  monitor_->drain();
  connection.number = theirs.connection();
  connection.routing_id = frames.routing_id;
  connection.descriptor = frames.descriptor;
  by_routing_id_[frames.routing_id] = {link.ends.peer, theirs.lane()};
  wire::LinkFrame frame;
  frame.set_sent_us(monotonic_us());
  *frame.mutable_answer() = link.introduction(theirs.lane());
  const bool sent = put(link, theirs.lane(), frame, {});
  const bool gone = !sent || !connections_.contains(frames.descriptor);
  on_lane_up(link, theirs.lane());
  connection.disconnected = connection.disconnected || gone;
}

void TensorSockets::on_answer(TensorLink& link, std::uint32_t lane,
                              const wire::Introduction& theirs) {
  const auto checked = link.check(theirs);
  if (checked.has_error()) return lose(link, checked.error());
  if (theirs.lane() != lane || theirs.connection() != link.lanes[lane].number) {
    return lose(link, link.broken("answered another introduction"));
  }
  on_lane_up(link, lane);
}

void TensorSockets::on_lane_up(TensorLink& link, std::uint32_t lane) {
  link.lane_up(lane, monotonic_us());
  if (link.state == State::kExpected && link.complete()) {
    link.state = State::kLinked;
    send_status(link);
    call(options_.on_linked, link.ends.peer);
  }
  if (lane == kStatusLane) send_status(link);
  pump(link);
}

void TensorSockets::on_lane_down(TensorLink& link, std::uint32_t lane) {
  const bool complete = link.complete();
  by_routing_id_.erase(link.lanes[lane].routing_id);
  link.lane_down(lane);
  ++link.losses;
  if (complete && !link.complete()) link.incomplete_since_us = monotonic_us();
  pump(link);
}

void TensorSockets::on_fragments(TensorLink& link, std::uint32_t lane, wire::Fragments headers,
                                 std::vector<Payload> pieces) {
  std::vector<TensorReceiver::Message> complete;
  for (std::size_t i = 0; i < pieces.size(); ++i) {
    const auto taken =
        link.receiver.on_fragment(lane, std::move(*headers.mutable_fragments(static_cast<int>(i))),
                                  std::move(pieces[i]), link.lanes[lane].heard_us, complete);
    if (taken.has_error()) return lose(link, taken.error());
  }
  for (TensorReceiver::Message& message : complete) {
    if (link.state == State::kLost) return;
    call(options_.on_message, std::move(message.header), std::move(message.payload));
  }
}

void TensorSockets::on_status(TensorLink& link, const wire::LinkFrame& frame) {
  const std::int64_t now = link.lanes[kStatusLane].heard_us;
  const wire::LinkStatus& status = frame.status();
  if (!sound_times(frame)) return lose(link, link.broken("told times that cannot be"));
  link.receiver.on_status_frame(frame.sent_us(), now);
  if (status.echo_age_us() >= 0) {
    const std::int64_t round_trip = now - status.echo_us() - status.echo_age_us();
    if (round_trip >= 0) link.sender.meter().on_round_trip(round_trip, now);
  }
  link.their_wanted_lanes = status.wanted_lanes();
  if (!link.sender.on_status(status)) {
    return lose(link, link.broken("acknowledged what it cannot have received"));
  }
  pump(link);
}

void TensorSockets::lose(TensorLink& link, Error error) {
  if (link.state == State::kLost) return;
  link.state = State::kLost;
  // Not at once: this may be the socket's own turn. Until then it must not dial again.
  later([&link] {
    for (LaneConnection& connection : link.lanes) {
      if (connection.dialler) connection.dialler->close();
    }
  });
  call(options_.on_error, link.ends.peer, std::move(error));
}

void TensorSockets::when_acknowledged(milliseconds patience, std::function<void()> done) {
  farewell_ =
      Farewell{monotonic_us() + std::chrono::microseconds(patience).count(), std::move(done)};
  later([this] { say_farewell(); });
}

void TensorSockets::say_farewell() {
  if (!farewell_) return;
  const bool all = std::ranges::all_of(links_, [](const auto& entry) {
    return entry.second.state == State::kLost || entry.second.sender.idle();
  });
  if (!all && monotonic_us() < farewell_->until_us) return;
  // What came last is not acknowledged yet.
  for (auto& [peer, link] : links_) {
    if (link.receiver.has_news()) send_status(link);
  }
  const auto done = std::move(farewell_->done);
  farewell_.reset();
  later(done);
}

}  // namespace longhaul::proto
