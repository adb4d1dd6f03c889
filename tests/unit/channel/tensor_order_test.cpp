// What a tensor channel refuses from a peer that holds a valid key and breaks the rules.
#include "proto/checksum.hpp"
#include "tests/unit/channel/loopback.hpp"
#include "tests/unit/channel/tensor_peers.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <span>
#include <string>

namespace longhaul::proto {
namespace {

using test::RawWorker;
using test::run_until;
using test::Worker;
using Header = wire::TensorHeader;

constexpr std::size_t kFragment = 256 << 10;

struct Scene {
  Scene() : acceptor(context, loop, 0), honest(context, loop, 1), raw(context, acceptor, 2) {
    acceptor.accept(honest);
    honest.dial(acceptor);
    REQUIRE(run_until(loop, [this] { return honest.linked_to(acceptor); }));
  }

  // The channel blames stage 2 with this, delivers nothing more of it, and serves stage 1 on.
  void check_refused(const std::string& part, ErrorKind kind = ErrorKind::kInternal) {
    REQUIRE(run_until(loop, [this] { return !acceptor.errors.empty(); }));
    CHECK(acceptor.errors[0].first == raw.stage);
    CHECK(acceptor.errors[0].second.kind == kind);
    CAPTURE(acceptor.errors[0].second.message);
    CHECK(acceptor.failed_with(part));
    const std::size_t before = acceptor.received.size();
    raw.send(raw.next(Header::ACTIVATION));
    raw.introduce();
    honest.channel->send(acceptor.stage, test::activation_header(9, 4), test::floats(4, 1.0f));
    REQUIRE(run_until(loop, [&] { return acceptor.received.size() == before + 1; }));
    CHECK(acceptor.received.back().first.from_stage() == 1);
    CHECK(acceptor.errors.size() == 1);
  }

  boost::asio::io_context loop;
  zmq::context_t context;
  Worker acceptor;
  Worker honest;
  RawWorker raw;
};

TEST_CASE("tensor_channel: a raw peer that keeps the rules is served") {
  Scene scene;
  scene.raw.introduce();
  scene.raw.send(scene.raw.next(Header::ACTIVATION), "abcd");
  REQUIRE(run_until(scene.loop, [&] { return scene.acceptor.received.size() == 1; }));
  CHECK(scene.acceptor.errors.empty());
  CHECK(scene.acceptor.received[0].second.bytes.size() == 4);
}

TEST_CASE("tensor_channel: a payload that is not what was sent is refused") {
  Scene scene;
  scene.raw.introduce();
  auto message = scene.raw.next(Header::ACTIVATION);
  message.set_step(3);
  message.set_micro_batch(2);
  message.set_name("h.1.add_2");
  message.set_checksum(checksum(std::as_bytes(std::span("abcd").first(4))));
  scene.raw.send(message, "abce");
  scene.check_refused("step 4, micro-batch 2, tensor 'h.1.add_2': the payload's checksum is wrong");
}

TEST_CASE("tensor_channel: a peer may only speak as the stage of its key") {
  Scene scene;
  SUBCASE("when it introduces itself") {
    auto hello = scene.raw.next(Header::HELLO);
    hello.set_from_stage(1);
    scene.raw.send(hello);
  }
  SUBCASE("and later") {
    scene.raw.introduce();
    auto message = scene.raw.next(Header::ACTIVATION);
    message.set_from_stage(1);
    scene.raw.send(message);
  }
  scene.check_refused("the key of stage 2 speaks as stage 1");
  CHECK(scene.acceptor.linked.contains(StageIndex{1}));
}

TEST_CASE("tensor_channel: messages of another epoch of the plan are refused") {
  Scene scene;
  SUBCASE("in the introduction") {
    auto hello = scene.raw.next(Header::HELLO);
    hello.set_epoch(6);
    scene.raw.send(hello);
  }
  SUBCASE("and later") {
    scene.raw.introduce();
    auto message = scene.raw.next(Header::ACTIVATION);
    message.set_epoch(6);
    scene.raw.send(message);
  }
  scene.check_refused("stage 2 is at epoch 6 of the plan, stage 0 at epoch 7");
}

TEST_CASE("tensor_channel: a gap, a repetition and a restart of the numbers are a lost link") {
  Scene scene;
  scene.raw.introduce();
  scene.raw.send(scene.raw.next(Header::ACTIVATION));
  SUBCASE("gap") {
    ++scene.raw.sequence;
    scene.raw.send(scene.raw.next(Header::ACTIVATION));
    scene.check_refused("message 3 of stage 2 arrived in place of message 2", ErrorKind::kLost);
  }
  SUBCASE("repetition") {
    --scene.raw.sequence;
    scene.raw.send(scene.raw.next(Header::ACTIVATION));
    scene.check_refused("message 1 of stage 2 arrived in place of message 2", ErrorKind::kLost);
  }
  SUBCASE("restart") {
    scene.raw.sequence = 0;
    scene.raw.introduce();
    scene.check_refused("introduced itself anew", ErrorKind::kLost);
  }
}

TEST_CASE("tensor_channel: a second connection with a linked peer's key cannot take its place") {
  Scene scene;
  scene.raw.introduce();
  REQUIRE(run_until(scene.loop, [&] { return scene.acceptor.linked.contains(scene.raw.stage); }));
  zmq::socket_t twin = test::raw_dealer(scene.context, scene.acceptor.channel->endpoint(),
                                        scene.raw.keys, scene.acceptor.keys.public_key);
  scene.raw.socket.swap(twin);
  SUBCASE("by speaking") {
    scene.raw.send(scene.raw.next(Header::ACTIVATION));
    scene.check_refused("speaks out of turn");
  }
  SUBCASE("by introducing itself") {
    scene.raw.sequence = 0;
    scene.raw.introduce();
    scene.check_refused("introduced itself anew", ErrorKind::kLost);
  }
}

TEST_CASE("tensor_channel: nobody speaks before the introduction, or answers what nobody asked") {
  Scene scene;
  SUBCASE("tensor first") { scene.raw.send(scene.raw.next(Header::GRADIENT)); }
  SUBCASE("reply for hello") { scene.raw.send(scene.raw.next(Header::HELLO_REPLY)); }
  SUBCASE("reply after hello") {
    scene.raw.introduce();
    scene.raw.send(scene.raw.next(Header::HELLO_REPLY));
  }
  scene.check_refused("speaks out of turn");
}

TEST_CASE("tensor_channel: frames that are not a header and its fragments are refused") {
  Scene scene;
  SUBCASE("no header") { scene.raw.send_frames({"fragment"}); }
  SUBCASE("three frames") {
    scene.raw.send_frames({scene.raw.next(Header::HELLO).SerializeAsString(), "", ""});
  }
  SUBCASE("a fragment too many") {
    scene.raw.introduce();
    scene.raw.send(scene.raw.next(Header::ACTIVATION), "abcd");
    scene.raw.send_frames({"efgh"});
  }
  SUBCASE("a header where a fragment is missing") {
    scene.raw.introduce();
    auto first = scene.raw.next(Header::ACTIVATION);
    first.set_payload_bytes(kFragment + 8);
    scene.raw.send(first, std::string(kFragment, 'x'));
    scene.raw.send(scene.raw.next(Header::ACTIVATION), "12345678");
  }
  scene.check_refused("frames that are not a header and its payload");
}

TEST_CASE("tensor_channel: fragments are exactly as long as the header promised") {
  Scene scene;
  scene.raw.introduce();
  auto header = scene.raw.next(Header::ACTIVATION);
  SUBCASE("one, too short") {
    header.set_payload_bytes(8);
    scene.raw.send(header, "1234567");
    scene.check_refused("fragment of 7 bytes in place of 8");
  }
  SUBCASE("one, too long") {
    header.set_payload_bytes(8);
    scene.raw.send(header, "123456789");
    scene.check_refused("fragment of 9 bytes in place of 8");
  }
  SUBCASE("the first of several, too short") {
    header.set_payload_bytes(kFragment + 8);
    scene.raw.send(header, std::string(kFragment - 8, 'x'));
    scene.check_refused("in place of 262144");
  }
  SUBCASE("the last of several, too long") {
    header.set_payload_bytes(kFragment + 8);
    scene.raw.send(header, std::string(kFragment, 'x'));
    scene.raw.send_frames({"123456789"});
    scene.check_refused("fragment of 9 bytes in place of 8");
  }
}

TEST_CASE("tensor_channel: a payload is whole at every length around the fragments") {
  Scene scene;
  scene.raw.introduce();
  const std::size_t lengths[] = {0, 1, kFragment - 1, kFragment, kFragment + 1, 3 * kFragment};
  for (const std::size_t length : lengths) {
    std::string payload(length, '\0');
    for (std::size_t i = 0; i < length; ++i) payload[i] = static_cast<char>(i * 31 + i / 4096);
    auto header = scene.raw.next(Header::ACTIVATION);
    header.set_payload_bytes(length);
    header.set_checksum(checksum(std::as_bytes(std::span(payload))));
    scene.raw.send(header, payload.substr(0, kFragment));
    for (std::size_t at = kFragment; at < length; at += kFragment) {
      scene.raw.send_frames({payload.substr(at, kFragment)});
    }
    const std::size_t before = scene.acceptor.received.size();
    REQUIRE(run_until(scene.loop, [&] { return scene.acceptor.received.size() == before + 1; }));
    const auto bytes = scene.acceptor.received.back().second.bytes;
    CAPTURE(length);
    REQUIRE(bytes.size() == length);
    CHECK(std::equal(bytes.begin(), bytes.end(), std::as_bytes(std::span(payload)).begin()));
  }
  CHECK(scene.acceptor.errors.empty());
}

TEST_CASE("tensor_channel: a header that makes no sense is refused") {
  Scene scene;
  SUBCASE("junk") { scene.raw.send_frames({"\xff\xfe junk", "payload"}); }
  SUBCASE("empty") { scene.raw.send_frames({"", ""}); }
  SUBCASE("too large") { scene.raw.send_frames({std::string(kMaxTensorHeaderBytes + 1, 'x'), ""}); }
  SUBCASE("impossible shape") {
    auto header = scene.raw.next(Header::ACTIVATION);
    header.add_shape(-4);
    scene.raw.send(header);
  }
  scene.check_refused("tensor header refused");
}

TEST_CASE("tensor_channel: a payload over the limit is refused before there is memory for it") {
  boost::asio::io_context loop;
  zmq::context_t context;
  TensorChannel::Options options;
  options.max_payload_bytes = 1000;
  Worker acceptor(context, loop, 0, std::move(options));
  RawWorker raw(context, acceptor, 2);
  raw.introduce();
  raw.send(raw.next(Header::ACTIVATION), std::string(1000, 'x'));
  REQUIRE(run_until(loop, [&] { return acceptor.received.size() == 1; }));
  CHECK(acceptor.errors.empty());
  raw.send(raw.next(Header::ACTIVATION), std::string(1001, 'x'));
  REQUIRE(run_until(loop, [&] { return !acceptor.errors.empty(); }));
  CHECK(acceptor.failed_with("announced a payload of 1001 bytes; at most 1000 are taken"));
  CHECK(acceptor.received.size() == 1);
}

TEST_CASE("tensor_channel: a frame larger than a fragment costs the peer its connection") {
  Scene scene;
  scene.raw.introduce();
  auto header = scene.raw.next(Header::ACTIVATION);
  scene.raw.send(header, std::string(kFragment + 4096, 'x'));
  REQUIRE(run_until(scene.loop, [&] { return !scene.acceptor.errors.empty(); }));
  CHECK(scene.acceptor.failed_with("the connection to stage 2 was lost"));
  CHECK(scene.acceptor.errors[0].second.kind == ErrorKind::kLost);
  CHECK(scene.acceptor.received.empty());
}

TEST_CASE("tensor_channel: keys that nobody announced, and bytes that are no handshake, stay out") {
  Scene scene;
  const CurveKeyPair stranger = make_curve_key_pair();
  zmq::socket_t socket = test::raw_dealer(scene.context, scene.acceptor.channel->endpoint(),
                                          stranger, scene.acceptor.keys.public_key);
  socket.send(zmq::message_t(8), zmq::send_flags::none);
  const test::RawTcp plain(scene.acceptor.channel->endpoint());
  plain.send(std::string(10'000, '\x01'));
  REQUIRE(run_until(scene.loop, [&] { return plain.closed_by_peer(); }));
  scene.raw.introduce();
  scene.raw.send(scene.raw.next(Header::ACTIVATION));
  REQUIRE(run_until(scene.loop, [&] { return scene.acceptor.received.size() == 1; }));
  CHECK(scene.acceptor.errors.empty());
}

TEST_CASE("tensor_channel: two stages cannot share a key") {
  boost::asio::io_context loop;
  zmq::context_t context;
  Worker acceptor(context, loop, 0);
  const std::string key = make_curve_key_pair().public_key;
  acceptor.channel->accept(StageIndex{1}, key);
  acceptor.channel->accept(StageIndex{2}, key);
  REQUIRE(run_until(loop, [&] { return !acceptor.errors.empty(); }));
  CHECK(acceptor.errors[0].first == StageIndex{2});
  CHECK(acceptor.failed_with("have the same key"));
}

}  // namespace
}  // namespace longhaul::proto
