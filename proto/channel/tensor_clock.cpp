// What TensorSockets does as time passes: status where there is no news, patience that ends.
#include "proto/channel/tensor_sockets.hpp"

#include "proto/channel/monotonic.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace longhaul::proto {
namespace {

using State = TensorLink::State;
using std::chrono::milliseconds;

constexpr milliseconds kTick{100};
constexpr milliseconds kTellAfter{2};
constexpr std::uint64_t kTicksPerWindow = 5;
// Both sides say something this often, so that a connection that is silent for long is dead.
constexpr std::int64_t kStatusEveryUs = 500'000;
constexpr std::int64_t kSilenceUs = 20'000'000;

}  // namespace

// What arrives in quick succession is acknowledged together: the sender's window has room for it.
void TensorSockets::tell_later() {
  if (std::exchange(telling_, true)) return;
  teller_.expires_after(kTellAfter);
  teller_.async_wait(
      [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& cancelled) {
        if (cancelled || alive.expired()) return;
        telling_ = false;
        for (auto& [peer, link] : links_) {
          if (link.receiver.has_news()) send_status(link);
        }
      });
}

void TensorSockets::tick_later() {
  ticker_.expires_after(kTick);
  ticker_.async_wait(
      [this, alive = std::weak_ptr(alive_)](const boost::system::error_code& cancelled) {
        if (cancelled || alive.expired()) return;
        on_tick();
        if (!alive.expired()) tick_later();
      });
}

void TensorSockets::on_tick() {
  ++ticks_;
  const std::int64_t now = monotonic_us();
  for (auto& [peer, link] : links_) {
    if (link.state == State::kLost) continue;
    check_time(link, now);
    if (link.state != State::kLinked) continue;
    if (now - link.status_sent_us >= kStatusEveryUs) send_status(link);
    link.sender.consider_lanes(now);
    dial_wanted_lanes(link);
    if (ticks_ % kTicksPerWindow == 0) {
      link.sender.meter().end_window();
      call(options_.on_state, peer, state(peer));
    }
    pump(link);
  }
  say_farewell();
}

void TensorSockets::check_time(TensorLink& link, std::int64_t now) {
  LaneConnection& status = link.lanes[kStatusLane];
  if (status.up && now - status.heard_us > kSilenceUs) {
    on_lane_down(link, kStatusLane);
    if (status.dialler) {
      status.dialler->abandon(
          fmt::format("{} has been silent for {} s", link.endpoint, kSilenceUs / 1'000'000));
    }
  }
  if (link.complete()) return;
  const bool linked = link.state == State::kLinked;
  const milliseconds patience = linked ? options_.resume_timeout : options_.link_timeout;
  if (now - link.incomplete_since_us < std::chrono::microseconds(patience).count()) return;
  const double seconds = std::chrono::duration<double>(patience).count();
  lose(link,
       {ErrorKind::kLost,
        linked ? fmt::format("the connection to stage {} was lost and has not come back for {} s{}",
                             link.ends.peer.value, seconds,
                             link.endpoint.empty() ? "" : ": " + link.obstacle)
               : fmt::format("stage {} did not link with stage {} within {} s: {}",
                             link.ends.peer.value, options_.self.value, seconds, link.obstacle)});
}

}  // namespace longhaul::proto
