// What a stage's end of a link refuses, as its worker sees it: of a peer that holds a valid key and
// breaks the rules, and of the stage's own numbers.
#include "compnode/worker/stage_links.hpp"
#include "compression/tensor_codec.hpp"
#include "proto/graph.hpp"
#include "tests/unit/channel/loopback.hpp"
#include "tests/unit/channel/tensor_peers.hpp"
#include "tests/unit/sample_graphs.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace longhaul::compnode {
namespace {

using proto::MicroBatchIndex;
using proto::StageIndex;
using proto::test::RawWorker;
using proto::test::run_until;
using proto::test::Worker;
using Kind = wire::TensorHeader;

constexpr StageIndex kFirst{0};
constexpr StageIndex kMiddle{1};
constexpr StageIndex kLast{2};
constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();
const Moment kMoment{Kind::TRAINING, 3, MicroBatchIndex{2}};
const std::string kGradient =
    "link from stage 1 to stage 0, step 4, micro-batch 2, tensor 'embed': ";

// embed | mid | head: three stages, of which the first and the last are sound.
proto::Graph three_operators() {
  tests::GraphBuilder builder;
  builder.parameter("table", {17, 64});
  builder.parameter("weight", {64, 64});
  builder.parameter("out", {17, 64});
  builder.add("embed", "embedding", {"tokens"}, {"table"});
  builder.add("mid", "linear", {"embed"}, {"weight"});
  builder.add("head", "linear", {"mid"}, {"out"});
  builder.loss("head");
  return proto::Graph::from_wire(builder.message).value();
}

const proto::Graph& graph() {
  static const proto::Graph made = three_operators();
  return made;
}

const proto::Plan& plan() {
  static const proto::Plan made = tests::plan_cut_after(graph(), {"embed", "mid"});
  return made;
}

StageLinks::Options options(StageIndex self, std::string_view compression = "dense") {
  StageLinks::Options made;
  made.self = self;
  made.shapes = proto::infer_shapes(graph(), {2, 4}).value();
  made.compression.self = self;
  made.compression.setting = proto::parse_compression(compression).value();
  return made;
}

proto::ValueIndex value(std::string_view op) {
  return graph().value_of(*graph().find_operator(op));
}

std::string message_of(const std::function<void()>& body, proto::ErrorKind kind) {
  try {
    body();
  } catch (const proto::Failed& failed) {
    CHECK(failed.error().kind == kind);
    return failed.error().message;
  }
  return "nothing was refused";
}

// The first stage, its middle neighbour by hand, and an honest last one.
struct Scene {
  Scene() : worker(context, loop, 0), honest(context, loop, 2), raw(context, worker, 1) {
    worker.accept(honest);
    honest.dial(worker);
    raw.introduce();
    REQUIRE(run_until(loop, [this] {
      return worker.linked.contains(raw.stage) && worker.linked_to(honest) &&
             honest.linked_to(worker);
    }));
  }

  // The gradient of "embed" for kMoment: right in every field, for the caller to change.
  wire::TensorHeader gradient() {
    wire::TensorHeader header = raw.next(Kind::GRADIENT);
    header.set_name("embed");
    header.set_step(kMoment.step);
    header.set_micro_batch(kMoment.micro_batch.value);
    header.set_codec(static_cast<std::uint32_t>(compression::Codec::kDenseFp32));
    header.set_rung(compression::pack(compression::Rung()));
    for (const int extent : {2, 4, 64}) header.add_shape(extent);
    return header;
  }

  // As the worker's process does with what its channel tells.
  void deliver(std::size_t count = 1) {
    REQUIRE(
        run_until(loop, [&] { return worker.received.size() + worker.errors.size() >= count; }));
    for (auto& [header, payload] : std::exchange(worker.received, {})) {
      const StageIndex from{header.from_stage()};
      const auto delivered = links.deliver(std::move(header), std::move(payload));
      if (!delivered) links.lose(from, delivered.error());
    }
    for (auto& [peer, error] : std::exchange(worker.errors, {})) {
      links.lose(peer, proto::with_context("link to stage " + std::to_string(peer.value), error));
    }
  }

  // The tensor is not given to the executor, and the stage goes on hearing the others.
  void check_refused(const std::string& part) {
    deliver();
    const std::string message = message_of(
        [this] { (void)links.receive_output_gradients(kMoment); }, proto::ErrorKind::kInternal);
    CAPTURE(message);
    CHECK(message.find(part) != std::string::npos);
    CHECK(message.find('\n') == std::string::npos);
    check_alive();
  }

  void check_alive() {
    wire::TensorHeader header;
    header.set_kind(Kind::STEP_NORMS);
    header.set_step(9);
    header.set_element_type(wire::FLOAT64);
    header.add_shape(1);
    auto numbers = std::make_shared<std::vector<double>>(1, 0.5);
    honest.channel->send(worker.stage, header, {std::as_bytes(std::span(*numbers)), numbers});
    deliver();
    CHECK(links.receive_numbers({Kind::TRAINING, 9, {}}, kLast, 1) == *numbers);
  }

  boost::asio::io_context loop;
  zmq::context_t context;
  Worker worker;
  Worker honest;
  RawWorker raw;
  StageLinks links{graph(), plan(), options(kFirst)};
};

std::string bytes_of(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::vector<float> sound_values() { return std::vector<float>(512, 0.25F); }

TEST_CASE("boundary: a gradient of a peer by hand is received") {
  Scene scene;
  scene.raw.send(scene.gradient(), bytes_of(sound_values()));
  scene.deliver();
  const auto gradients = scene.links.receive_output_gradients(kMoment);
  REQUIRE(gradients.size() == 1);
  CHECK(gradients[0].tensor.eq(0.25F).all().item<bool>());
}

TEST_CASE("boundary: a frame that lies about its sizes is refused by link, step and tensor") {
  Scene scene;
  auto header = scene.gradient();
  const std::string sound = bytes_of(sound_values());
  std::string part;
  SUBCASE("bytes of another tensor") {
    part = kGradient + "dense payload has 2044 bytes";
    scene.raw.send(header, sound.substr(4));
  }
  SUBCASE("another shape than the plan's") {
    part = kGradient + "another type or shape than the plan's";
    header.set_shape(0, 1);
    scene.raw.send(header, sound.substr(1024));
  }
  SUBCASE("blocks of codes that end early") {
    part = kGradient + "payload has 3 bytes of values, less than its scales";
    header.set_codec(static_cast<std::uint32_t>(compression::Codec::kBlocks));
    scene.raw.send(header, std::string("\x08\x07\0\0\0\0\0\0\0\0\0", 11));
  }
  SUBCASE("more entries than the tensor has") {
    part = kGradient + "16843009 entries are more than a tensor of 8 x 64 has";
    header.set_codec(static_cast<std::uint32_t>(compression::Codec::kTopK));
    scene.raw.send(header, std::string("\x20\0\0\0\x01\x01\x01\x01\0\0\0\0", 12));
  }
  SUBCASE("a piece beyond its payload") {
    part =
        "stage 1, step 4, micro-batch 2, tensor 'embed': a piece of 2048 bytes at 0 in a payload";
    auto piece = RawWorker::piece(header, sound, 0, sound.size());
    piece.set_payload_bytes(2000);
    scene.raw.send_piece(piece, sound);
  }
  scene.check_refused(part);
}

TEST_CASE("boundary: an unknown rung, and an unknown codec, are refused by link, step and tensor") {
  Scene scene;
  auto header = scene.gradient();
  std::string part;
  SUBCASE("no rung at all") {
    part = kGradient + "12345 is no rung";
    header.set_rung(12345);
  }
  SUBCASE("a value format of a later version") {
    part = kGradient;
    header.set_rung(compression::pack(compression::Rung()) ^ std::uint64_t{32 ^ 20} << 30);
  }
  SUBCASE("a codec of a later version") {
    part = kGradient + "codec 99 is not known";
    header.set_codec(99);
  }
  SUBCASE("a value format inside the payload") {
    part = kGradient + "value format 5 is not known";
    header.set_codec(static_cast<std::uint32_t>(compression::Codec::kBlocks));
    scene.raw.send(header, std::string("\x05\x07\0\0\0\0\0\0", 8));
    scene.check_refused(part);
    return;
  }
  scene.raw.send(header, bytes_of(sound_values()));
  scene.check_refused(part);
}

TEST_CASE("boundary: a message of another epoch is refused by link, step and tensor") {
  Scene scene;
  auto header = scene.gradient();
  header.set_epoch(6);
  scene.raw.send(header, bytes_of(sound_values()));
  scene.check_refused(
      "link to stage 1: stage 1, step 4, micro-batch 2, tensor 'embed': it is of epoch 6 of the "
      "plan, this stage is at epoch 7");
}

TEST_CASE("boundary: a replayed message is refused by link, step and tensor") {
  Scene scene;
  const auto header = scene.gradient();
  scene.raw.send(header, bytes_of(sound_values()));
  scene.deliver();
  const auto received = scene.links.receive_output_gradients(kMoment);
  REQUIRE(received.size() == 1);
  std::string part;
  std::size_t messages = 1;
  SUBCASE("under its number") {
    part = "link to stage 1: stage 1, step 4, micro-batch 2, tensor 'embed': was received before";
    scene.raw.send(header, bytes_of(std::vector<float>(512, 666.0F)));
  }
  SUBCASE("under a new one, twice") {
    part = kGradient + "it came before";
    for (int i = 0; i < 2; ++i) {
      scene.raw.send(scene.gradient(), bytes_of(std::vector<float>(512, 666.0F)));
    }
    messages = 2;
  }
  scene.deliver(messages);
  Moment next = kMoment;
  next.micro_batch.value = 3;
  const std::string message = message_of([&] { (void)scene.links.receive_output_gradients(next); },
                                         proto::ErrorKind::kInternal);
  CAPTURE(message);
  CHECK(message.find(part) != std::string::npos);
  CHECK(received[0].tensor.eq(0.25F).all().item<bool>());
  scene.check_alive();
}

TEST_CASE("boundary: NaN and infinity from a peer are refused by link, step and tensor") {
  Scene scene;
  auto values = sound_values();
  std::string part;
  SUBCASE("NaN") {
    values[3 * 64 + 5] = kNaN;
    part = kGradient + "the value at row 3, column 5 is not a number";
  }
  SUBCASE("infinity") {
    values[7 * 64 + 63] = -kInfinity;
    part = kGradient + "the value at row 7, column 63 is infinite";
  }
  auto header = scene.gradient();
  scene.raw.send(header, bytes_of(values));
  scene.check_refused(part);
}

TEST_CASE("boundary: a tensor that this stage does not expect is refused by link, step and name") {
  Scene scene;
  auto header = scene.gradient();
  header.set_name("mid\n");
  scene.raw.send(header, bytes_of(sound_values()));
  scene.check_refused(
      "link from stage 1 to stage 0, step 4, micro-batch 2, tensor 'mid\\x0a': this stage expects "
      "no such message");
}

TEST_CASE("boundary: a stage sends no NaN and no infinity, under any rung, and says where it is") {
  for (const std::string_view compression :
       {"dense", "fixed(fp32)", "fixed(bf16)", "fixed(int16/128)", "fixed(int4/64-rotated)",
        "fixed(topk10%-int8)", "uniform-topk(10)", "adaptive"}) {
    CAPTURE(compression);
    std::size_t sent = 0;
    StageLinks::Options made = options(kMiddle, compression);
    made.send = [&](StageIndex, wire::TensorHeader, proto::Payload) { ++sent; };
    {
      StageLinks links(graph(), plan(), std::move(made));
      for (const auto& [bad, what] :
           {std::pair{kNaN, "is not a number"}, std::pair{kInfinity, "is infinite"}}) {
        at::Tensor values = at::ones({2, 4, 64});
        values[0][2][17] = bad;
        const auto forward = [&] { links.send_outputs(kMoment, {{value("mid"), values}}); };
        const std::string message = message_of(forward, proto::ErrorKind::kNumeric);
        CHECK(message ==
              "link from stage 1 to stage 2, step 4, micro-batch 2, tensor 'mid': the value at row "
              "2, column 17 " +
                  std::string(what));
        const auto backward = [&] {
          links.send_input_gradients(kMoment, {{value("embed"), values}});
        };
        CHECK(message_of(backward, proto::ErrorKind::kNumeric) ==
              kGradient + "the value at row 2, column 17 " + what);
      }
    }
    CHECK(sent == 0);
  }
}

}  // namespace
}  // namespace longhaul::compnode
