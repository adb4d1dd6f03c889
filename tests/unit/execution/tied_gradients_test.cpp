// Claims about the exchange of tied gradients, against peers that the test plays itself.
#include "compnode/worker/tied_gradients.hpp"

#include "compression/codec.hpp"
#include "scheduler/memory_estimate.hpp"
#include "tests/unit/sample_graphs.hpp"

#include <doctest/doctest.h>

#include <cstring>
#include <future>
#include <memory>
#include <string>
#include <vector>

namespace longhaul::compnode {
namespace {

using proto::StageIndex;
using Kind = wire::TensorHeader;

constexpr std::int64_t kRows = 700;
constexpr std::int64_t kWidth = 64;
constexpr std::uint64_t kStep = 3;

// embed -> mid -> back -> head, where embed, mid and head use the weight of [kRows, kWidth].
proto::Graph thrice_used() {
  tests::GraphBuilder builder;
  builder.parameter("weight", {kRows, kWidth});
  builder.parameter("narrow", {kWidth, kRows});
  builder.add("embed", "embedding", {"tokens"}, {"weight"});
  builder.add("mid", "linear", {"embed"}, {"weight"});
  builder.add("back", "linear", {"mid"}, {"narrow"});
  builder.add("head", "linear", {"back"}, {"weight"});
  builder.loss("head");
  return proto::Graph::from_wire(builder.message).value();
}

at::Tensor drawn(std::uint64_t seed) {
  at::manual_seed(seed);
  return at::randn({kRows, kWidth});
}

bool same_bits(const at::Tensor& a, const at::Tensor& b) {
  return a.sizes() == b.sizes() && std::memcmp(a.data_ptr(), b.data_ptr(), a.nbytes()) == 0;
}

// One stage, and every other one played by the test: what the stage sends is kept, and what it
// waits for is delivered by hand.
struct LoneStage {
  struct Sent {
    StageIndex to;
    wire::TensorHeader header;
    proto::Payload payload;
  };

  proto::Graph graph = thrice_used();
  proto::Plan plan;
  StageIndex self;
  ParameterStore parameters;
  std::vector<Sent> sent;
  std::promise<void> announced;  // the stage has told the first peer that it is done
  StageLinks links;
  TiedGradients tied;
  std::vector<at::Tensor> uses;  // of the weight, in the order of the operators

  LoneStage(const std::vector<std::string>& cuts, StageIndex stage)
      : plan(tests::plan_cut_after(graph, cuts)),
        self(stage),
        parameters(graph, plan, stage, {at::kCPU, at::kFloat, true}),
        links(graph, plan,
              {.self = stage,
               .shapes = {},
               .send =
                   [this](StageIndex to, wire::TensorHeader header, proto::Payload payload) {
                     sent.push_back({to, std::move(header), std::move(payload)});
                     if (sent.size() == 1) announced.set_value();
                   }}),
        tied(graph, plan, stage, parameters, links) {
    for (std::uint64_t i = 0; i < 3; ++i) uses.push_back(drawn(10 + i));
    std::size_t use = 0;
    for (const char* op : {"embed", "mid", "head"}) {
      const proto::OperatorIndex index = *graph.find_operator(op);
      if (plan.stage_of(index) == self) weight().uses[use++].gradient.copy_(uses[order(op)]);
    }
  }

  static std::size_t order(const std::string& op) {
    return op == "embed" ? 0 : op == "mid" ? 1 : 2;
  }
  StageParameter& weight() { return parameters.parameter(proto::ParameterIndex{0}); }

  wire::TensorHeader header(StageIndex from, Kind::Kind kind) const {
    wire::TensorHeader header;
    header.set_from_stage(from.value);
    header.set_kind(kind);
    header.set_phase(Kind::TRAINING);
    header.set_step(kStep);
    header.set_element_type(wire::FLOAT32);
    return header;
  }

  void say_done(StageIndex from) { links.deliver(header(from, Kind::EVALUATED), {}).value(); }

  void say_gradient(StageIndex from, const std::string& op) {
    wire::TensorHeader message = header(from, Kind::TIED_GRADIENT);
    message.set_name("weight@" + op);
    message.set_codec(static_cast<std::uint32_t>(compression::Codec::kDenseFp32));
    message.add_shape(kRows);
    message.add_shape(kWidth);
    const at::Tensor& gradient = uses[order(op)];
    const auto* values = static_cast<const std::byte*>(gradient.data_ptr());
    auto bytes = std::make_shared<std::vector<std::byte>>(values, values + gradient.nbytes());
    links.deliver(std::move(message), {*bytes, bytes}).value();
  }

  // Every message of the peers, once they have heard that this stage is done.
  void play_peers() {
    for (std::uint32_t s = 0; s < plan.stages.size(); ++s) {
      if (StageIndex{s} != self) say_done(StageIndex{s});
    }
    for (const char* op : {"embed", "mid", "head"}) {
      const StageIndex from = plan.stage_of(*graph.find_operator(op));
      if (from != self) say_gradient(from, op);
    }
  }
};

const std::vector<std::vector<std::string>> kSplits{
    {"embed"}, {"mid"}, {"back"}, {"embed", "back"}, {"embed", "mid"}};

TEST_CASE("tied gradients: any split gives the bits of the sum in the operators' order") {
  for (const auto& cuts : kSplits) {
    for (std::uint32_t s = 0; s <= cuts.size(); ++s) {
      CAPTURE(cuts.front());
      CAPTURE(s);
      LoneStage stage(cuts, StageIndex{s});
      if (stage.weight().uses.empty()) continue;
      stage.play_peers();
      stage.tied.sum(kStep);
      const at::Tensor expected = (stage.uses[0] + stage.uses[1]) + stage.uses[2];
      CHECK(same_bits(stage.tied.total(stage.weight()), expected));
      stage.tied.store();
      CHECK(same_bits(stage.weight().uses.front().gradient, expected));
    }
  }
}

TEST_CASE("tied gradients: sent without a copy, and unchanged until they are stored") {
  for (const auto& cuts : kSplits) {
    for (std::uint32_t s = 0; s <= cuts.size(); ++s) {
      CAPTURE(cuts.front());
      CAPTURE(s);
      LoneStage stage(cuts, StageIndex{s});
      stage.play_peers();
      stage.tied.sum(kStep);
      std::size_t gradients = 0;
      for (const LoneStage::Sent& sent : stage.sent) {
        if (sent.header.kind() != Kind::TIED_GRADIENT) continue;
        const std::string op = sent.header.name().substr(sent.header.name().find('@') + 1);
        const at::Tensor& original = stage.uses[LoneStage::order(op)];
        REQUIRE(sent.payload.bytes.size() == original.nbytes());
        CHECK(std::memcmp(sent.payload.bytes.data(), original.data_ptr(), original.nbytes()) == 0);
        bool in_place = false;
        for (const ParameterUse& use : stage.weight().uses) {
          in_place = in_place || use.gradient.data_ptr() == sent.payload.bytes.data();
        }
        CHECK(in_place);
        ++gradients;
      }
      CHECK(gradients >= stage.weight().uses.size());
    }
  }
}

TEST_CASE("tied gradients: the exchange holds what the estimate says, byte by byte") {
  constexpr std::int64_t kSlack = 4096;  // malloc rounds up
  for (const auto& cuts : kSplits) {
    for (std::uint32_t s = 0; s <= cuts.size(); ++s) {
      CAPTURE(cuts.front());
      CAPTURE(s);
      LoneStage stage(cuts, StageIndex{s});
      const auto shapes = proto::infer_shapes(stage.graph, {2, 8}).value();
      const auto estimate = scheduler::estimate_memory(stage.graph, stage.plan, StageIndex{s},
                                                       shapes, {proto::Precision::kFp32});
      reset_tensor_memory_peak();
      const auto before = static_cast<std::int64_t>(tensor_memory_now());
      stage.play_peers();
      stage.tied.sum(kStep);
      stage.tied.store();
      const auto peak = static_cast<std::int64_t>(tensor_memory_peak()) - before;
      CAPTURE(peak);
      CAPTURE(estimate.exchange);
      CHECK(std::abs(peak - static_cast<std::int64_t>(estimate.exchange)) <= kSlack);
      CHECK(static_cast<std::int64_t>(tensor_memory_now()) - before <= kSlack);  // nothing kept
    }
  }
}

TEST_CASE("tied gradients: nothing is sent to a stage that may still have activations") {
  LoneStage stage({"back"}, StageIndex{0});
  auto summed = std::async(std::launch::async, [&] { stage.tied.sum(kStep); });
  stage.announced.get_future().wait();
  // The stage waits for the peer's word now, and nothing but its own was sent.
  CHECK(stage.sent.size() == 1);
  CHECK(stage.sent.front().header.kind() == Kind::EVALUATED);
  stage.play_peers();
  summed.get();
  CHECK(stage.sent.size() == 3);  // a gradient for each use here
}

}  // namespace
}  // namespace longhaul::compnode
