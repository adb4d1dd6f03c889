// A link whose connections are cut goes on without loss and without duplication.
#include "tests/unit/channel/loopback.hpp"
#include "tests/unit/channel/tcp_relay.hpp"
#include "tests/unit/channel/tensor_peers.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <random>

namespace longhaul::proto {
namespace {

using test::activation_header;
using test::floats;
using test::run_until;
using test::TcpRelay;
using test::Worker;

struct Cuttable {
  explicit Cuttable(TensorChannel::Options options = {})
      : acceptor(context, loop, 0, options),
        dialler(context, loop, 1, options),
        relay(loop, acceptor.channel->endpoint()) {
    acceptor.accept(dialler);
    REQUIRE(dialler.channel->dial(acceptor.stage, relay.endpoint(), acceptor.keys.public_key)
                .has_value());
    REQUIRE(run_until(
        loop, [this] { return acceptor.linked_to(dialler) && dialler.linked_to(acceptor); }));
  }

  void send_both(std::size_t from, std::size_t to) {
    for (std::size_t i = from; i < to; ++i) {
      const std::size_t elements = 1 + (i * 7919) % 200'000;
      const auto value = static_cast<float>(i);
      dialler.channel->send(acceptor.stage, activation_header(i, elements),
                            floats(elements, value));
      acceptor.channel->send(dialler.stage, activation_header(i, elements),
                             floats(elements, value));
    }
  }

  void check_received(std::size_t messages) {
    for (const Worker* worker : {&acceptor, &dialler}) {
      CHECK(worker->errors.empty());
      REQUIRE(worker->received.size() == messages);
      for (std::size_t i = 0; i < messages; ++i) {
        const auto& [header, payload] = worker->received[i];
        REQUIRE(header.step() == i);
        const auto* values = reinterpret_cast<const float*>(payload.bytes.data());
        REQUIRE(payload.bytes.size() == 4 * (1 + (i * 7919) % 200'000));
        REQUIRE(std::all_of(values, values + payload.bytes.size() / 4,
                            [&](float v) { return v == static_cast<float>(i); }));
      }
    }
  }

  boost::asio::io_context loop;
  zmq::context_t context;
  Worker acceptor;
  Worker dialler;
  TcpRelay relay;
};

TEST_CASE("tensor_channel: connections that are cut come back, and nothing is lost or doubled") {
  Cuttable link;
  constexpr std::size_t kMessages = 120;
  const auto seed = std::random_device()();
  CAPTURE(seed);
  std::mt19937 random(seed);
  std::size_t sent = 0;
  for (int round = 0; round < 6; ++round) {
    link.send_both(sent, sent + kMessages / 6);
    sent += kMessages / 6;
    // Somewhere in the middle.
    const std::size_t some = link.acceptor.received.size() + random() % 10;
    REQUIRE(run_until(link.loop,
                      [&] { return link.acceptor.received.size() >= std::min(some, sent); }));
    if (round % 2 == 0) {
      link.relay.cut();
    } else {
      link.relay.cut(link.relay.connections_made() - 1 - random() % 2);
    }
  }
  REQUIRE(run_until(link.loop, [&] {
    return link.acceptor.received.size() >= kMessages && link.dialler.received.size() >= kMessages;
  }));
  link.check_received(kMessages);
  CHECK(link.dialler.channel->state(StageIndex{0}).losses > 0);
  CHECK(link.relay.connections_made() > 2);
  REQUIRE(run_until(link.loop, [&] {
    return link.dialler.channel->bytes_waiting(StageIndex{0}) == 0 &&
           link.acceptor.channel->bytes_waiting(StageIndex{1}) == 0;
  }));
}

TEST_CASE("tensor_channel: connections that are cut in the middle of everything, again and again") {
  Cuttable link;
  link.relay.cut_after(3'000'000);
  link.relay.cut();
  link.send_both(0, 12);
  REQUIRE(run_until(link.loop, [&] {
    return link.acceptor.received.size() >= 12 && link.dialler.received.size() >= 12;
  }));
  link.check_received(12);
}

TEST_CASE("tensor_channel: a link waits for its connections, but not for ever") {
  TensorChannel::Options options;
  options.resume_timeout = std::chrono::milliseconds(1500);
  Cuttable link(options);
  link.relay.set_open(false);
  link.relay.cut();
  link.send_both(0, 5);
  CHECK_FALSE(run_until(
      link.loop, [&] { return !link.acceptor.errors.empty() || !link.dialler.errors.empty(); },
      std::chrono::milliseconds(700)));
  SUBCASE("back in time") {
    link.relay.set_open(true);
    REQUIRE(run_until(link.loop, [&] {
      return link.acceptor.received.size() >= 5 && link.dialler.received.size() >= 5;
    }));
    link.check_received(5);
  }
  SUBCASE("not back") {
    REQUIRE(run_until(link.loop, [&] {
      return link.acceptor.errors.size() == 1 && link.dialler.errors.size() == 1;
    }));
    CHECK(link.acceptor.failed_with("the connection to stage 1 was lost and has not come back"));
    CHECK(link.dialler.failed_with("the connection to stage 0 was lost and has not come back"));
    CHECK(link.dialler.errors[0].second.kind == ErrorKind::kLost);
  }
}

TEST_CASE(
    "tensor_channel: a sender keeps to the receiver's credit, and goes on when there is more") {
  TensorChannel::Options options;
  options.credit_bytes = 100'000;
  Cuttable link(options);
  constexpr std::size_t kElements = 10'000;
  for (std::size_t i = 0; i < 20; ++i) {
    link.dialler.channel->send(StageIndex{0}, activation_header(i, kElements),
                               floats(kElements, 1.0f));
  }
  // Two fit, the third is begun while there is credit.
  REQUIRE(run_until(link.loop, [&] { return link.acceptor.received.size() == 3; }));
  CHECK_FALSE(run_until(
      link.loop, [&] { return link.acceptor.received.size() > 3; },
      std::chrono::milliseconds(300)));
  for (std::size_t used = 0; used < 20; ++used) {
    REQUIRE(run_until(link.loop, [&] { return link.acceptor.received.size() > used; }));
    link.acceptor.channel->used(StageIndex{1}, kElements * 4);
  }
  CHECK(link.acceptor.received.size() == 20);
  CHECK(link.acceptor.errors.empty());
}

}  // namespace
}  // namespace longhaul::proto
