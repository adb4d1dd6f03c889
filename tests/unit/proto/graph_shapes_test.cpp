// Claims about shape inference.
#include "proto/graph.hpp"

#include "tests/unit/sample_graphs.hpp"

#include <doctest/doctest.h>

#include <array>
#include <limits>

namespace longhaul::proto {
namespace {

using tests::GraphBuilder;

Shape shape_of(const Graph& graph, const std::vector<Shape>& shapes, const std::string& id) {
  return shapes[graph.value_of(*graph.find_operator(id)).value];
}

std::string refusal(const wire::Graph& message, ShapeBinding binding = {2, 5}) {
  const auto graph = Graph::from_wire(message);
  REQUIRE_MESSAGE(graph.has_value(), graph.error().message);
  const auto shapes = infer_shapes(*graph, binding);
  if (shapes) return "accepted";
  CHECK(shapes.error().kind == ErrorKind::kConfiguration);
  return shapes.error().message;
}

// An embedding of width 6, then `grow`, then the loss of what it returns.
template <class Grow>
wire::Graph around(Grow grow) {
  GraphBuilder graph;
  graph.parameter("weight", {7, 6});
  graph.add("embed", "embedding", {"tokens"}, {"weight"});
  graph.loss(grow(graph));
  return graph.message;
}

TEST_CASE("shapes: GPT-2's follow from batch and sequence") {
  const auto graph = Graph::from_wire(tests::gpt2_graph({.width = 8, .vocabulary = 17}));
  REQUIRE(graph.has_value());
  const auto shapes = infer_shapes(*graph, {.batch = 3, .sequence = 5});
  REQUIRE(shapes.has_value());
  CHECK((*shapes)[0] == Shape{3, 5});
  CHECK(shape_of(*graph, *shapes, "h.0.qkv") == Shape{3, 5, 24});
  CHECK(shape_of(*graph, *shapes, "h.0.attention") == Shape{3, 5, 8});
  CHECK(shape_of(*graph, *shapes, "h.1.gelu") == Shape{3, 5, 32});
  CHECK(shape_of(*graph, *shapes, "lm_head") == Shape{3, 5, 17});
  CHECK(shape_of(*graph, *shapes, "loss") == Shape{});
}

TEST_CASE("shapes: a sequence longer than the positions is refused") {
  CHECK(refusal(tests::gpt2_graph({.width = 8, .positions = 4})) ==
        "operator 'wpe': parameter 'wpe.weight' has the shape [4, 8]; an input of shape [2, 5, 8] "
        "needs [at least 5, 8]");
}

TEST_CASE("shapes: linear takes either layout and checks it") {
  const auto build = [](bool in_out) {
    return around([in_out](GraphBuilder& graph) {
      graph.parameter("matrix", {9, 6});
      wire::Operator& op = graph.add("head", "linear", {"embed"}, {"matrix"});
      if (in_out) (*op.mutable_attributes())["layout"].set_text("in_out");
      return "head";
    });
  };
  CHECK(refusal(build(false)) == "accepted");
  CHECK(refusal(build(true)) ==
        "operator 'head': parameter 'matrix' has the shape [9, 6]; an input of shape [2, 5, 6] "
        "needs [6, any] (layout in_out)");
}

TEST_CASE("shapes: a bias has as many elements as features") {
  CHECK(refusal(around([](GraphBuilder& graph) {
          graph.parameter("matrix", {9, 6});
          graph.parameter("bias", {6});
          graph.add("head", "linear", {"embed"}, {"matrix", "bias"});
          return "head";
        })) ==
        "operator 'head': parameter 'bias' has the shape [6]; an input of shape [2, 5, 6] needs "
        "[9]");
}

TEST_CASE("shapes: heads divide the attention's width") {
  const auto build = [](std::int64_t heads, std::int64_t rows) {
    return around([=](GraphBuilder& graph) {
      graph.parameter("matrix", {rows, 6});
      graph.add("qkv", "linear", {"embed"}, {"matrix"});
      wire::Operator& op = graph.add("attend", "attention", {"qkv"});
      (*op.mutable_attributes())["heads"].set_integer(heads);
      return "attend";
    });
  };
  CHECK(refusal(build(2, 18)) == "accepted");
  CHECK(refusal(build(4, 18)) ==
        "operator 'attend': its 4 heads do not divide the width 6 (input 'qkv' has the shape "
        "[2, 5, 18])");
  CHECK(refusal(build(2, 17)) ==
        "operator 'attend': its input 'qkv' has the shape [2, 5, 17]; attention needs [batch, "
        "sequence, 3 * width]");
}

TEST_CASE("shapes: add and multiply name both shapes") {
  CHECK(refusal(around([](GraphBuilder& graph) {
          graph.parameter("matrix", {9, 6});
          graph.add("wide", "linear", {"embed"}, {"matrix"});
          graph.add("sum", "add", {"embed", "wide"});
          return "sum";
        })) ==
        "operator 'sum': its inputs 'embed' and 'wide' have the shapes [2, 5, 6] and [2, 5, 9]; "
        "add needs one shape");
}

TEST_CASE("shapes: causal_conv1d keeps the sequence and changes the channels") {
  const wire::Graph message = around([](GraphBuilder& graph) {
    graph.parameter("kernel", {4, 6, 3});
    graph.add("conv", "causal_conv1d", {"embed"}, {"kernel"});
    return "conv";
  });
  const auto graph = Graph::from_wire(message);
  REQUIRE(graph.has_value());
  const auto shapes = infer_shapes(*graph, {2, 5});
  REQUIRE(shapes.has_value());
  CHECK(shape_of(*graph, *shapes, "conv") == Shape{2, 5, 4});
}

TEST_CASE("shapes: values beyond 2^40 elements are refused before anything is allocated") {
  constexpr std::int64_t kLong = std::int64_t{1} << 30;
  CHECK(refusal(tests::gpt2_graph({.positions = kLong, .dropout = 0.0}), {1, kLong}) ==
        "operator 'h.0.attention': its probabilities [1, 2, 1073741824, 1073741824] have more "
        "than 2^40 elements");
  CHECK(refusal(tests::gpt2_graph({}), {0, 5}).find("out of range") != std::string::npos);
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  CHECK(refusal(tests::gpt2_graph({}), {kMost, kMost}).find("out of range") !=
        std::string::npos);
}

TEST_CASE("shapes: dropout beyond the counter of the random numbers is refused") {
  constexpr std::int64_t kLong = 1 << 17;
  const wire::Graph with = tests::gpt2_graph({.heads = 2, .positions = kLong, .dropout = 0.1});
  CHECK(refusal(with, {1, kLong}).find("use rate 0 or a shorter sequence") != std::string::npos);
  const wire::Graph without = tests::gpt2_graph({.heads = 2, .positions = kLong, .dropout = 0.0});
  CHECK(refusal(without, {1, kLong}) == "accepted");
}

TEST_CASE("shapes: element counts saturate instead of overflowing") {
  constexpr std::int64_t kHalf = std::int64_t{1} << 32;
  CHECK(element_count(Shape{}) == 1);
  CHECK(element_count(Shape{3, 4}) == 12);
  CHECK(element_count(Shape{kHalf, kHalf}) == std::numeric_limits<std::int64_t>::max());
  CHECK(element_count(Shape{kHalf, kHalf, 0}) == 0);
}

}  // namespace
}  // namespace longhaul::proto
