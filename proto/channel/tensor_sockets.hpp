// The sockets of a worker's links, and whatever moves between them and the links' state.
#pragma once

#include "proto/channel/socket_calls.hpp"
#include "proto/channel/socket_monitor.hpp"
#include "proto/channel/tensor_channel.hpp"
#include "proto/channel/tensor_link.hpp"
#include "proto/channel/zap_authenticator.hpp"
#include "proto/channel/zmq_watch.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <zmq.hpp>

namespace longhaul::proto {

// Everything as TensorChannel says.
class TensorSockets {
 public:
  TensorSockets(zmq::context_t& context, boost::asio::io_context& loop,
                TensorChannel::Options options);
  ~TensorSockets();
  TensorSockets(const TensorSockets&) = delete;
  TensorSockets& operator=(const TensorSockets&) = delete;

  Result<void> start();
  [[nodiscard]] std::string endpoint() const;
  void accept(StageIndex peer, const std::string& public_key);
  Result<void> dial(StageIndex peer, const std::string& endpoint, const std::string& public_key);
  void send(StageIndex peer, wire::TensorHeader header, Payload payload);
  void used(StageIndex peer, std::uint64_t payload_bytes);
  void when_acknowledged(std::chrono::milliseconds patience, std::function<void()> done);
  [[nodiscard]] const TensorLink& link(StageIndex peer) const;
  [[nodiscard]] LinkState state(StageIndex peer) const;

 private:
  struct Farewell {
    std::int64_t until_us = 0;
    std::function<void()> done;
  };

  TensorLink& add(StageIndex peer);
  Result<void> dial_lane(TensorLink& link, std::uint32_t lane);
  void dial_wanted_lanes(TensorLink& link);
  bool put(TensorLink& link, std::uint32_t lane, const wire::LinkFrame& frame,
           std::span<const Payload> pieces);
  void pump(TensorLink& link);
  void introduce(TensorLink& link, std::uint32_t lane);
  void send_status(TensorLink& link);

  bool accepting_turn();
  bool dialling_turn(TensorLink& link, std::uint32_t lane);
  void after_turn();
  void on_dialled(TensorLink& link, std::uint32_t lane, bool connected, const std::string& reason);
  void on_event(SocketEvent event);
  void on_accepted_frames(IncomingFrames frames);
  void on_frames(TensorLink& link, std::uint32_t lane, IncomingFrames frames);
  void on_introduction(TensorLink& link, const IncomingFrames& frames,
                       const wire::Introduction& theirs);
  void on_answer(TensorLink& link, std::uint32_t lane, const wire::Introduction& theirs);
  void on_fragments(TensorLink& link, std::uint32_t lane, wire::Fragments headers,
                    std::vector<Payload> pieces);
  void on_status(TensorLink& link, const wire::LinkFrame& frame);
  void on_lane_up(TensorLink& link, std::uint32_t lane);
  void on_lane_down(TensorLink& link, std::uint32_t lane);
  void drop_disconnected(TensorLink& link);
  void lose(TensorLink& link, Error error);

  void tell_later();
  void tick_later();
  void on_tick();
  void check_time(TensorLink& link, std::int64_t now_us);
  void say_farewell();

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
  TensorChannel::Options options_;
  std::map<std::string, StageIndex> by_key_;  // whom to let in
  ZapDomain zap_;
  zmq::socket_t socket_;
  std::optional<SocketMonitor> monitor_;
  std::optional<ZmqWatch> watch_;
  std::set<int> connections_;  // accepted and not ended: their descriptors
  std::map<std::string, std::pair<StageIndex, std::uint32_t>> by_routing_id_;
  PayloadMemory memory_;
  std::map<StageIndex, TensorLink> links_;
  boost::asio::steady_timer ticker_;
  boost::asio::steady_timer teller_;
  bool telling_ = false;
  std::uint64_t ticks_ = 0;
  std::optional<Farewell> farewell_;
  bool in_callback_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace longhaul::proto
