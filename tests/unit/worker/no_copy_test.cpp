// Dense tensors between LibTorch's memory and ZeroMQ's messages: the same bytes, not a copy.
#include "compnode/worker/stage_links.hpp"
#include "compression/tensor_codec.hpp"
#include "proto/channel/tensor_frames.hpp"
#include "proto/channel/tensor_receiver.hpp"
#include "proto/checksum.hpp"
#include "proto/graph.hpp"
#include "tests/unit/channel/tensor_peers.hpp"
#include "tests/unit/sample_graphs.hpp"

#include <doctest/doctest.h>

#include <optional>
#include <utility>
#include <vector>

#include <zmq.hpp>

namespace longhaul::compnode {
namespace {

using proto::StageIndex;
using proto::test::kEpoch;
using Kind = wire::TensorHeader;

constexpr std::int64_t kWidth = 8192;  // 2 x 4 x 8192 floats: a fragment with a frame of its own
const Moment kMoment{Kind::TRAINING, 3, proto::MicroBatchIndex{2}};

struct Sent {
  StageIndex to;
  wire::TensorHeader header;
  proto::Payload payload;
};

// embed | head: the activation crosses in fp32.
struct TwoStages {
  TwoStages() {
    tests::GraphBuilder builder;
    builder.parameter("table", {17, kWidth});
    builder.parameter("out", {17, kWidth});
    builder.add("embed", "embedding", {"tokens"}, {"table"});
    builder.add("head", "linear", {"embed"}, {"out"});
    builder.loss("head");
    graph = proto::Graph::from_wire(builder.message).value();
    plan = tests::plan_cut_after(graph, {"embed"});
    value = graph.value_of(*graph.find_operator("embed"));
  }

  StageLinks::Options options(std::uint32_t self, at::ScalarType precision) {
    StageLinks::Options made;
    made.self = StageIndex{self};
    made.precision = precision;
    made.shapes = proto::infer_shapes(graph, {2, 4}).value();
    made.compression.self = made.self;
    made.compression.setting = proto::parse_compression("dense").value();
    made.send = [this](StageIndex to, wire::TensorHeader header, proto::Payload payload) {
      sent.push_back({to, std::move(header), std::move(payload)});
    };
    made.used = [](StageIndex, std::uint64_t) {};
    return made;
  }

  proto::Graph graph;
  proto::Plan plan;
  proto::ValueIndex value;
  std::vector<Sent> sent;
};

at::Tensor some_values(at::ScalarType precision) {
  return at::arange(2 * 4 * kWidth, at::kFloat).view({2, 4, kWidth}).to(precision);
}

TEST_CASE("no copy: what ZeroMQ is given to send is the tensor's memory, held until it is sent") {
  for (const at::ScalarType precision : {at::kFloat, at::kBFloat16}) {
    TwoStages stages;
    StageLinks links(stages.graph, stages.plan, stages.options(0, precision));
    const at::Tensor values = some_values(precision);
    links.send_outputs(kMoment, {{stages.value, values}});
    REQUIRE(stages.sent.size() == 1);
    CHECK(stages.sent[0].payload.bytes.data() == values.data_ptr());
    CHECK(stages.sent[0].payload.bytes.size() == values.nbytes());
    const auto before = values.use_count();
    std::optional<zmq::message_t> message = proto::piece_frame(stages.sent[0].payload);
    CHECK(message->data() == values.data_ptr());
    CHECK(message->size() == values.nbytes());
    stages.sent.clear();
    CHECK(values.use_count() == before);  // the message's now
    message.reset();
    CHECK(values.use_count() == before - 1);
  }
}

// Across a transport that hands messages over as they are, so that all copying would be ours.
TEST_CASE("no copy: the tensor that is received is the message, as far back as the sender's") {
  for (const at::ScalarType precision : {at::kFloat, at::kBFloat16}) {
    TwoStages stages;
    StageLinks sender(stages.graph, stages.plan, stages.options(0, precision));
    StageLinks links(stages.graph, stages.plan, stages.options(1, precision));
    const at::Tensor values = some_values(precision);
    sender.send_outputs(kMoment, {{stages.value, values}});
    REQUIRE(stages.sent.size() == 1);
    auto [to, header, payload] = std::move(stages.sent[0]);
    CHECK(to == StageIndex{1});
    header.set_from_stage(0);
    header.set_epoch(kEpoch.value);

    zmq::context_t context;
    zmq::socket_t out(context, zmq::socket_type::pair);
    zmq::socket_t in(context, zmq::socket_type::pair);
    in.bind("inproc://tensors");
    out.connect("inproc://tensors");
    wire::LinkFrame frame;
    wire::Fragment& fragment = *frame.mutable_fragments()->add_fragments();
    fragment.set_sequence(header.sequence());
    fragment.set_payload_bytes(payload.bytes.size());
    fragment.set_checksum(proto::checksum(payload.bytes));
    *fragment.mutable_header() = header;
    zmq::message_t head = proto::link_frame(frame, nullptr);
    zmq::message_t body = proto::piece_frame(payload);
    REQUIRE(out.send(head, zmq::send_flags::sndmore | zmq::send_flags::dontwait));
    REQUIRE(out.send(body, zmq::send_flags::dontwait));

    const auto frames = proto::receive_frames(in, false);
    REQUIRE(frames.has_value());
    auto decoded = proto::decode_frames(*frames);
    REQUIRE(decoded.has_value());
    REQUIRE(decoded->pieces.size() == 1);
    proto::PayloadMemory memory;
    proto::TensorReceiver receiver(StageIndex{0}, kEpoch, {.credit_bytes = 1 << 24}, memory);
    receiver.lane_up(1, 1);
    std::vector<proto::TensorReceiver::Message> complete;
    const auto placed = receiver.on_fragment(1, decoded->frame.fragments().fragments(0),
                                             std::move(decoded->pieces[0]), 0, complete);
    REQUIRE(placed.has_value());
    REQUIRE(complete.size() == 1);
    const auto taken = links.deliver(complete[0].header, std::move(complete[0].payload));
    REQUIRE(taken.has_value());
    const auto inputs = links.receive_inputs(kMoment, 2);
    REQUIRE(inputs.size() == 1);
    CHECK((inputs[0].tensor.scalar_type() == precision));
    CHECK(inputs[0].tensor.data_ptr() == values.data_ptr());
    CHECK(inputs[0].tensor.equal(values));
  }
}

// Views that are no rows after rows have to be gathered, once.
TEST_CASE("no copy: a tensor of another layout is sent as its values, not as its memory") {
  TwoStages stages;
  StageLinks links(stages.graph, stages.plan, stages.options(0, at::kFloat));
  const at::Tensor transposed = at::arange(2 * 4 * kWidth, at::kFloat).view({2, kWidth, 4});
  const at::Tensor values = transposed.transpose(1, 2);
  links.send_outputs(kMoment, {{stages.value, values}});
  REQUIRE(stages.sent.size() == 1);
  const std::span<const std::byte> bytes = stages.sent[0].payload.bytes;
  CHECK(bytes.data() != values.data_ptr());
  REQUIRE(bytes.size() == values.nbytes());
  const at::Tensor read = at::from_blob(const_cast<std::byte*>(bytes.data()), values.sizes(),
                                        at::TensorOptions().dtype(at::kFloat));
  CHECK(read.equal(values));
}

}  // namespace
}  // namespace longhaul::compnode
