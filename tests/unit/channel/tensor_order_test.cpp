// What a tensor channel refuses from a peer that holds a valid key and breaks the rules.
#include "proto/channel/tensor_frames.hpp"
#include "proto/checksum.hpp"
#include "tests/unit/channel/loopback.hpp"
#include "tests/unit/channel/tensor_peers.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>
#include <string>

namespace longhaul::proto {
namespace {

using test::RawWorker;
using test::run_until;
using test::Worker;
using Header = wire::TensorHeader;

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
    raw.send(raw.next());
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
  scene.raw.send(scene.raw.next(), "abcd");
  REQUIRE(run_until(scene.loop, [&] { return scene.acceptor.received.size() == 1; }));
  CHECK(scene.acceptor.errors.empty());
  CHECK(scene.acceptor.received[0].second.bytes.size() == 4);
}

// A message of stage 2 that an error can be traced to.
Header named(Scene& scene) {
  Header message = scene.raw.next();
  message.set_step(3);
  message.set_micro_batch(2);
  message.set_name("h.1.add_2");
  return message;
}
const std::string kNamed = "stage 2, step 4, micro-batch 2, tensor 'h.1.add_2': ";

TEST_CASE("tensor_channel: a payload that is not what was sent is refused") {
  Scene scene;
  scene.raw.introduce();
  const auto message = named(scene);
  scene.raw.send_piece(RawWorker::piece(message, "abcd", 0, 4), "abce");
  scene.check_refused(kNamed + "the payload's checksum is wrong");
}

TEST_CASE("tensor_channel: a peer may only speak as the stage of its key") {
  Scene scene;
  SUBCASE("when it introduces itself") {
    auto hello = scene.raw.introduction(0);
    hello.set_stage(1);
    scene.raw.introduce(hello);
  }
  SUBCASE("and later") {
    scene.raw.introduce();
    auto message = scene.raw.next();
    message.set_from_stage(1);
    scene.raw.send(message);
  }
  scene.check_refused("the key of stage 2 speaks as stage 1");
  CHECK(scene.acceptor.linked.contains(StageIndex{1}));
}

TEST_CASE("tensor_channel: messages of another epoch of the plan are refused") {
  Scene scene;
  SUBCASE("in the introduction") {
    auto hello = scene.raw.introduction(0);
    hello.set_epoch(6);
    scene.raw.introduce(hello);
    scene.check_refused("stage 2 is at epoch 6 of the plan, stage 0 at epoch 7");
  }
  SUBCASE("and later") {
    scene.raw.introduce();
    auto message = named(scene);
    message.set_epoch(6);
    scene.raw.send(message, "abcd");
    scene.check_refused(kNamed + "it is of epoch 6 of the plan, this stage is at epoch 7");
  }
}

TEST_CASE("tensor_channel: a replayed message is refused, a repeated piece is dropped") {
  Scene scene;
  scene.raw.introduce();
  const auto message = named(scene);
  scene.raw.send(message, "abcd");
  auto again = RawWorker::piece(message, "abcd", 0, 4);
  again.set_repeated_(true);
  scene.raw.send_piece(again, "abcd");
  scene.raw.send(scene.raw.next(), "next");
  REQUIRE(run_until(scene.loop, [&] { return scene.acceptor.received.size() == 2; }));
  CHECK(scene.acceptor.errors.empty());
  scene.raw.send(message, "evil");
  scene.check_refused(kNamed + "was received before");
  CHECK(scene.acceptor.received.size() == 3);  // two of it, one of the honest
}

TEST_CASE("tensor_channel: an original that its repetition overtook is dropped, once") {
  Scene scene;
  scene.raw.introduce();
  const auto message = named(scene);
  auto repeated = RawWorker::piece(message, "abcd", 0, 4);
  repeated.set_repeated_(true);
  scene.raw.send_piece(repeated, "abcd");
  scene.raw.send(message, "abcd");
  scene.raw.send(scene.raw.next(), "next");
  REQUIRE(run_until(scene.loop, [&] { return scene.acceptor.received.size() == 2; }));
  CHECK(scene.acceptor.errors.empty());
  scene.raw.send(message, "abcd");
  scene.check_refused(kNamed + "was received before");
}

TEST_CASE("tensor_channel: a peer that started anew is lost") {
  Scene scene;
  scene.raw.introduce();
  scene.raw.send(scene.raw.next());
  REQUIRE(run_until(scene.loop, [&] { return !scene.acceptor.received.empty(); }));
  scene.raw.fragments = test::raw_dealer(scene.context, scene.acceptor.channel->endpoint(),
                                         scene.raw.keys, scene.acceptor.keys.public_key);
  ++scene.raw.session;
  ++scene.raw.connection;
  scene.raw.introduce(scene.raw.introduction(1));
  scene.check_refused("introduced itself anew", ErrorKind::kLost);
}

TEST_CASE("tensor_channel: a connection that did not introduce itself is not listened to") {
  Scene scene;
  scene.raw.introduce();
  REQUIRE(run_until(scene.loop, [&] { return scene.acceptor.linked.contains(scene.raw.stage); }));
  zmq::socket_t twin = test::raw_dealer(scene.context, scene.acceptor.channel->endpoint(),
                                        scene.raw.keys, scene.acceptor.keys.public_key);
  scene.raw.fragments.swap(twin);
  SUBCASE("but for itself") { scene.raw.send(scene.raw.next(), "evil"); }
  SUBCASE("with an introduction that was used") { scene.raw.introduce(scene.raw.introduction(1)); }
  scene.raw.fragments.swap(twin);
  scene.raw.sequence = 0;
  scene.raw.send(scene.raw.next(), "good");
  REQUIRE(run_until(scene.loop, [&] { return !scene.acceptor.received.empty(); }));
  const auto bytes = scene.acceptor.received[0].second.bytes;
  CHECK(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()) == "good");
  CHECK(scene.acceptor.errors.empty());
}

TEST_CASE("tensor_channel: what does not belong on a connection is refused") {
  Scene scene;
  scene.raw.introduce();
  wire::LinkFrame frame;
  SUBCASE("a fragment among the status") {
    *frame.mutable_fragments()->add_fragments() = RawWorker::piece(scene.raw.next(), "abcd", 0, 4);
    RawWorker::send_frames(scene.raw.status,
                           {RawWorker::framed(frame.SerializeAsString()), "abcd"});
    scene.check_refused("speaks out of turn");
  }
  SUBCASE("an answer that nobody asked for") {
    *frame.mutable_answer() = scene.raw.introduction(1);
    scene.raw.send_frames({RawWorker::framed(frame.SerializeAsString())});
    scene.check_refused("speaks out of turn");
  }
  SUBCASE("nothing at all") {
    scene.raw.send_frames({RawWorker::framed(frame.SerializeAsString())});
    scene.check_refused("speaks out of turn");
  }
  SUBCASE("a fragment's header without its bytes") {
    *frame.mutable_fragments()->add_fragments() = RawWorker::piece(scene.raw.next(), "abcd", 0, 4);
    scene.raw.send_frames({RawWorker::framed(frame.SerializeAsString())});
    scene.check_refused("an empty piece");
  }
  SUBCASE("more frames than fragments") {
    *frame.mutable_fragments()->add_fragments() = RawWorker::piece(scene.raw.next(), "abcd", 0, 4);
    scene.raw.send_frames({RawWorker::framed(frame.SerializeAsString()), "abcd", "efgh"});
    scene.check_refused("1 fragments in 2 frames");
  }
  SUBCASE("more fragments than frames") {
    for (int i = 0; i < 2; ++i) {
      *frame.mutable_fragments()->add_fragments() =
          RawWorker::piece(scene.raw.next(), "abcd", 0, 4);
    }
    scene.raw.send_frames({RawWorker::framed(frame.SerializeAsString()), "abcd"});
    scene.check_refused("2 fragments in 1 frames");
  }
  SUBCASE("no fragments") {
    frame.mutable_fragments();
    scene.raw.send_frames({RawWorker::framed(frame.SerializeAsString())});
    scene.check_refused("no fragments");
  }
  SUBCASE("more frames than any message has") {
    std::vector<std::string> frames(kMaxFragmentsTogether + 2, "abcd");
    frames.front() = RawWorker::framed(frame.SerializeAsString());
    scene.raw.send_frames(frames);
    scene.check_refused("frames of no known kind");
  }
  SUBCASE("junk") {
    scene.raw.send_frames({RawWorker::framed("\xff\xfe junk"), "payload"});
    scene.check_refused("tensor header refused");
  }
  SUBCASE("a length that cannot be") {
    scene.raw.send_frames({std::string("\xff\xff\x00\x00junk", 8), "payload"});
    scene.check_refused("tensor header refused: 65535 bytes in a frame of 8");
  }
  SUBCASE("a fragment inside and one beside") {
    *frame.mutable_fragments()->add_fragments() = RawWorker::piece(scene.raw.next(), "abcd", 0, 4);
    std::string both = RawWorker::framed(frame.SerializeAsString());
    both.resize((both.size() + 15) / 16 * 16);
    scene.raw.send_frames({both + "abcd", "abcd"});
    scene.check_refused("1 fragments in 1 frames and one inside");
  }
  SUBCASE("a header that is too large") {
    scene.raw.send_frames({std::string(kMaxTensorHeaderBytes + 1, 'x'), ""});
    scene.check_refused("tensor header refused");
  }
  SUBCASE("a connection beyond all") {
    auto hello = scene.raw.introduction(1);
    hello.set_lane(17);
    zmq::socket_t other = test::raw_dealer(scene.context, scene.acceptor.channel->endpoint(),
                                           scene.raw.keys, scene.acceptor.keys.public_key);
    *frame.mutable_introduction() = hello;
    RawWorker::send_frames(other, {RawWorker::framed(frame.SerializeAsString())});
    scene.check_refused("introduced connection 17 of at most 16");
  }
}

TEST_CASE("tensor_channel: a status that claims what cannot be is refused") {
  Scene scene;
  scene.raw.introduce();
  REQUIRE(run_until(scene.loop, [&] { return scene.acceptor.linked.contains(scene.raw.stage); }));
  wire::LinkStatus status;
  SUBCASE("fragments that were not sent") {
    auto& lane = *status.add_lanes();
    lane.set_lane(1);
    lane.set_connection(1);
    lane.set_received(5);
  }
  SUBCASE("a connection that does not exist") { status.add_lanes()->set_lane(40); }
  SUBCASE("credit for what was not sent") { status.set_used_bytes(1); }
  scene.raw.send_status(status);
  scene.check_refused("acknowledged what it cannot have received");
}

TEST_CASE("tensor_channel: a status with times that overflow is refused") {
  Scene scene;
  scene.raw.introduce();
  REQUIRE(run_until(scene.loop, [&] { return scene.acceptor.linked.contains(scene.raw.stage); }));
  wire::LinkStatus status;
  status.set_has_least_transit(true);
  status.set_least_transit_us(std::numeric_limits<std::int64_t>::min());
  scene.raw.send_status(status);
  scene.check_refused("told times that cannot be");
}

TEST_CASE("tensor_channel: pieces that lie about their place or size are refused") {
  Scene scene;
  scene.raw.introduce();
  const auto message = named(scene);
  const std::string payload = "0123456789abcdef";
  SUBCASE("beyond the payload") {
    auto piece = RawWorker::piece(message, payload, 0, 16);
    piece.set_payload_bytes(12);
    scene.raw.send_piece(piece, payload);
    scene.check_refused(kNamed + "a piece of 16 bytes at 0 in a payload of 12");
  }
  SUBCASE("an offset that overflows") {
    auto piece = RawWorker::piece(message, payload, 8, 8);
    piece.set_offset(~std::uint64_t{0} - 3);
    scene.raw.send_piece(piece, payload.substr(8));
    scene.check_refused("a piece of 8 bytes at 18446744073709551612 in a payload of 16");
  }
  SUBCASE("empty, where bytes are due") {
    scene.raw.send_piece(RawWorker::piece(message, payload, 0, 0), "");
    scene.check_refused(kNamed + "an empty piece");
  }
  SUBCASE("another size than before") {
    scene.raw.send_piece(RawWorker::piece(message, payload, 0, 8), payload.substr(0, 8));
    auto piece = RawWorker::piece(message, payload, 8, 8);
    piece.set_payload_bytes(17);
    scene.raw.send_piece(piece, payload.substr(8));
    scene.check_refused(kNamed + "a payload of 17 bytes, which had 16");
  }
  SUBCASE("over another piece") {
    scene.raw.send_piece(RawWorker::piece(message, payload, 0, 8), payload.substr(0, 8));
    scene.raw.send_piece(RawWorker::piece(message, payload, 4, 8), payload.substr(4, 8));
    scene.check_refused(kNamed + "the bytes at 4 were received before");
  }
  SUBCASE("over a later piece") {
    scene.raw.send_piece(RawWorker::piece(message, payload, 8, 8), payload.substr(8));
    scene.raw.send_piece(RawWorker::piece(message, payload, 0, 12), payload.substr(0, 12));
    scene.check_refused(kNamed + "the bytes at 8 were received before");
  }
  SUBCASE("twice") {
    scene.raw.send_piece(RawWorker::piece(message, payload, 0, 8), payload.substr(0, 8));
    scene.raw.send_piece(RawWorker::piece(message, payload, 0, 8), payload.substr(0, 8));
    scene.check_refused(kNamed + "the bytes at 0 were received before");
  }
  SUBCASE("no header at the beginning") {
    auto piece = RawWorker::piece(message, payload, 0, 16);
    piece.clear_header();
    scene.raw.send_piece(piece, payload);
    scene.check_refused("message 0: the header belongs to the first piece");
  }
  SUBCASE("the header of another message") {
    auto piece = RawWorker::piece(message, payload, 0, 16);
    piece.set_sequence(1);
    scene.raw.send_piece(piece, payload);
    scene.check_refused(kNamed + "a header of message 0 in message 1");
  }
  SUBCASE("from far ahead") {
    auto piece = RawWorker::piece(message, payload, 0, 16);
    piece.set_sequence(1u << 30);
    piece.mutable_header()->set_sequence(1u << 30);
    scene.raw.send_piece(piece, payload);
    scene.check_refused(kNamed + "message 1073741824 is far ahead of message 0");
  }
}

TEST_CASE("tensor_channel: pieces in any order make the payload, and messages keep their order") {
  Scene scene;
  scene.raw.introduce();
  const std::string payload = "0123456789abcdefghij";
  const auto first = scene.raw.next();
  const auto second = scene.raw.next();
  scene.raw.send(second, "second");
  scene.raw.send_piece(RawWorker::piece(first, payload, 16, 4), payload.substr(16));
  scene.raw.send_piece(RawWorker::piece(first, payload, 0, 8), payload.substr(0, 8));
  scene.raw.send_piece(RawWorker::piece(first, payload, 8, 8), payload.substr(8, 8));
  REQUIRE(run_until(scene.loop, [&] { return scene.acceptor.received.size() == 2; }));
  const auto text = [&](std::size_t i) {
    const auto bytes = scene.acceptor.received[i].second.bytes;
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  CHECK(text(0) == payload);
  CHECK(text(1) == "second");
  CHECK(scene.acceptor.errors.empty());
}

TEST_CASE("tensor_channel: a header that makes no sense is refused") {
  Scene scene;
  scene.raw.introduce();
  auto header = scene.raw.next();
  SUBCASE("impossible shape") { header.add_shape(-4); }
  SUBCASE("no kind") { header.set_kind(Header::UNSPECIFIED); }
  scene.raw.send(header);
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
  raw.send(raw.next(), std::string(1000, 'x'));
  REQUIRE(run_until(loop, [&] { return acceptor.received.size() == 1; }));
  CHECK(acceptor.errors.empty());
  raw.send(raw.next(), std::string(1001, 'x'));
  REQUIRE(run_until(loop, [&] { return !acceptor.errors.empty(); }));
  CHECK(acceptor.failed_with("announced a payload of 1001 bytes; at most 1000 are taken"));
  CHECK(acceptor.received.size() == 1);
}

TEST_CASE("tensor_channel: a peer may not send beyond its credit") {
  boost::asio::io_context loop;
  zmq::context_t context;
  TensorChannel::Options options;
  options.credit_bytes = 10'000;
  Worker acceptor(context, loop, 0, std::move(options));
  RawWorker raw(context, acceptor, 2);
  raw.introduce();
  for (int i = 0; i < 3; ++i) raw.send(raw.next(), std::string(4000, 'x'));
  REQUIRE(run_until(loop, [&] { return acceptor.received.size() == 3; }));
  CHECK(acceptor.errors.empty());
  acceptor.channel->used(StageIndex{2}, 4000);
  raw.send(raw.next(), std::string(4000, 'x'));
  REQUIRE(run_until(loop, [&] { return acceptor.received.size() == 4; }));
  raw.send(raw.next(), std::string(4000, 'x'));
  REQUIRE(run_until(loop, [&] { return !acceptor.errors.empty(); }));
  CHECK(acceptor.failed_with("sent beyond the credit"));
}

TEST_CASE("tensor_channel: a frame larger than a fragment costs the peer its connection") {
  boost::asio::io_context loop;
  zmq::context_t context;
  TensorChannel::Options options;
  options.resume_timeout = std::chrono::milliseconds(100);
  Worker acceptor(context, loop, 0, std::move(options));
  RawWorker raw(context, acceptor, 2);
  raw.introduce();
  raw.send(raw.next(), std::string((1 << 20) + 4096, 'x'));
  REQUIRE(run_until(loop, [&] { return !acceptor.errors.empty(); }));
  CHECK(acceptor.failed_with("the connection to stage 2 was lost and has not come back"));
  CHECK(acceptor.errors[0].second.kind == ErrorKind::kLost);
  CHECK(acceptor.received.empty());
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
  scene.raw.send(scene.raw.next());
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
