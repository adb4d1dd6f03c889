// One end of a TensorChannel's link, for the network tests: reads what to do from standard input as
// one line of JSON, tells on standard output, a JSON object a line, its endpoint and then twice a
// second how the link is. "keys" as only argument: prints a key pair.
//
// {stage, peer, public_key, secret_key, peer_key, host, dial: endpoint or null, max_lanes,
//  seconds, send: null | {message_bytes, messages, every_s}}: so many messages every so many
//  seconds;
// every_s 0: as many as the link takes.
#include "proto/channel/context.hpp"
#include "proto/channel/tensor_channel.hpp"

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <nlohmann/json.hpp>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace longhaul::proto {
namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kQueued = 24u << 20;  // while as many as the link takes are sent

void say(const Json& json) { std::cout << json.dump() << std::endl; }

class LinkEnd {
 public:
  explicit LinkEnd(Json plan) : plan_(std::move(plan)), peer_(plan_["peer"]) {
    if (!plan_["send"].is_null()) {
      message_ = std::make_shared<std::vector<std::byte>>(
          plan_["send"]["message_bytes"].get<std::size_t>(), std::byte{0x5a});
    }
  }

  int run() {
    TensorChannel::Options options;
    options.bind_host = plan_["host"];
    options.self = StageIndex{plan_["stage"]};
    options.epoch = PlanEpoch{1};
    options.keys = {plan_["public_key"], plan_["secret_key"]};
    options.max_lanes = plan_["max_lanes"];
    options.on_message = [this](const wire::TensorHeader&, const Payload& payload) {
      received_ += payload.bytes.size();
      channel_->used(peer_, payload.bytes.size());
    };
    options.on_linked = [this](StageIndex) { linked(); };
    options.on_error = [this](StageIndex, const Error& error) {
      say({{"error", error.message}});
      loop_.stop();
    };
    options.on_state = [this](StageIndex, const LinkState& state) { tell(state); };
    auto opened = TensorChannel::open(context_.zmq(), loop_, std::move(options));
    if (!opened) {
      say({{"error", opened.error().message}});
      return 1;
    }
    channel_ = std::move(*opened);
    say({{"endpoint", channel_->endpoint()}});
    if (plan_["dial"].is_null()) {
      channel_->accept(peer_, plan_["peer_key"]);
    } else if (const auto dialled = channel_->dial(peer_, plan_["dial"], plan_["peer_key"]);
               !dialled) {
      say({{"error", dialled.error().message}});
      return 1;
    }
    loop_.run();
    return 0;
  }

 private:
  void linked() {
    began_ = Clock::now();
    end_.expires_after(std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(plan_["seconds"].get<double>())));
    end_.async_wait([this](auto) { loop_.stop(); });
    if (message_) send();
  }

  void send() {
    const Json& how = plan_["send"];
    const double every_s = how["every_s"];
    if (every_s > 0.0) {
      for (int i = 0; i < how["messages"].get<int>(); ++i) send_one();
    } else {
      while (channel_->bytes_waiting(peer_) < kQueued) send_one();
    }
    next_.expires_after(std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(every_s > 0.0 ? every_s : 0.002)));
    next_.async_wait([this](auto cancelled) {
      if (!cancelled) send();
    });
  }

  void send_one() {
    wire::TensorHeader header;
    header.set_kind(wire::TensorHeader::ACTIVATION);
    header.set_element_type(wire::FLOAT32);
    header.set_name("h.0.add");
    header.add_shape(static_cast<std::int64_t>(message_->size() / 4));
    sent_ += message_->size();
    channel_->send(peer_, std::move(header), {*message_, message_});
  }

  void tell(const LinkState& state) {
    const LinkMeasure& measure = state.measure;
    say({{"t", std::chrono::duration<double>(Clock::now() - began_).count()},
         {"goodput", measure.goodput},
         {"lower_bound", measure.lower_bound},
         {"spread", measure.spread},
         {"round_trip_s", measure.round_trip_s},
         {"jitter_s", measure.jitter_s},
         {"queueing_s", measure.queueing_s},
         {"connections", state.connections},
         {"losses", state.losses},
         {"acknowledged", sent_ - channel_->bytes_waiting(peer_)},
         {"received", received_}});
  }

  Json plan_;
  StageIndex peer_;
  Context context_;
  boost::asio::io_context loop_;
  boost::asio::steady_timer end_{loop_};
  boost::asio::steady_timer next_{loop_};
  std::shared_ptr<std::vector<std::byte>> message_;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
  Clock::time_point began_ = Clock::now();
  std::unique_ptr<TensorChannel> channel_;
};

}  // namespace
}  // namespace longhaul::proto

int main(int argc, char**) {
  using namespace longhaul::proto;
  if (argc == 2) {
    const CurveKeyPair keys = make_curve_key_pair();
    say({{"public_key", keys.public_key}, {"secret_key", keys.secret_key}});
    return 0;
  }
  std::string line;
  std::getline(std::cin, line);
  return LinkEnd(Json::parse(line)).run();
}
