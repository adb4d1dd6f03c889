// Claims about what a foreign graph must be, and what its errors say.
#include "proto/graph.hpp"

#include "tests/unit/sample_graphs.hpp"

#include <doctest/doctest.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <stdexcept>

namespace longhaul::proto {
namespace {

using tests::GraphBuilder;

std::string refusal(const wire::Graph& message) {
  const auto graph = Graph::from_wire(message);
  if (graph) return "accepted";
  CHECK(graph.error().kind == ErrorKind::kConfiguration);
  CHECK(graph.error().message.find('\n') == std::string::npos);
  return graph.error().message;
}

// tokens -> embedding -> linear -> loss
GraphBuilder small() {
  GraphBuilder graph;
  graph.parameter("weight", {7, 4});
  graph.add("embed", "embedding", {"tokens"}, {"weight"});
  graph.add("head", "linear", {"embed"}, {"weight"});
  graph.loss("head");
  return graph;
}

wire::Operator& operator_of(wire::Graph& message, const std::string& id) {
  for (wire::Operator& op : *message.mutable_operators()) {
    if (op.id() == id) return op;
  }
  throw std::runtime_error("no operator " + id);
}

TEST_CASE("graph: GPT-2 reads back as it was written, defaults filled in") {
  const wire::Graph message = tests::gpt2_graph({});
  const auto graph = Graph::from_wire(message);
  REQUIRE(graph.has_value());
  CHECK(graph->operators.size() == 3 + 2 * 12 + 3);
  CHECK(graph->operators[graph->loss.value].id == "loss");
  CHECK(graph->operators[graph->logits->value].id == "lm_head");
  const Operator& norm = graph->operators[graph->find_operator("h.0.ln_1")->value];
  CHECK(norm.epsilon == 1e-5);
  CHECK(graph->operators[graph->find_operator("h.1.fc")->value].weight_is_in_out);
  CHECK_FALSE(graph->operators[graph->logits->value].weight_is_in_out);
  const auto again = Graph::from_wire(graph->to_wire());
  REQUIRE(again.has_value());
  CHECK(google::protobuf::util::MessageDifferencer::Equals(again->to_wire(), graph->to_wire()));
}

TEST_CASE("graph: values number data inputs first, then operators") {
  const auto graph = Graph::from_wire(small().message);
  REQUIRE(graph.has_value());
  CHECK(graph->is_data_input(ValueIndex{1}));
  CHECK(graph->value_name(ValueIndex{1}) == "targets");
  CHECK(graph->value_name(ValueIndex{2}) == "embed");
  CHECK(graph->operator_of(ValueIndex{3}) == OperatorIndex{1});
  CHECK(graph->value_of(OperatorIndex{1}) == ValueIndex{3});
  CHECK(graph->find_parameter("weight") == ParameterIndex{0});
  CHECK_FALSE(graph->find_parameter("bias").has_value());
}

TEST_CASE("graph: operators in any order of the file come out sorted, order kept where free") {
  GraphBuilder builder = small();
  builder.message.mutable_operators()->SwapElements(0, 2);  // loss, head, embed
  const auto graph = Graph::from_wire(builder.message);
  REQUIRE(graph.has_value());
  CHECK(graph->operators[0].id == "embed");
  CHECK(graph->operators[1].id == "head");
  CHECK(graph->operators[2].id == "loss");
  CHECK(graph->operators[2].inputs == std::vector{ValueIndex{3}, ValueIndex{1}});
  CHECK(graph->loss == OperatorIndex{2});
}

TEST_CASE("graph: an unknown operator suggests the nearest known one") {
  GraphBuilder graph = small();
  operator_of(graph.message, "head").set_kind("liner");
  CHECK(refusal(graph.message) ==
        "operator 'head': 'liner' is no known operator; did you mean 'linear'?");
  operator_of(graph.message, "head").set_kind("quantum_leap");
  CHECK(refusal(graph.message) == "operator 'head': 'quantum_leap' is no known operator");
}

TEST_CASE("graph: a cycle is named operator by operator") {
  GraphBuilder graph = small();
  graph.add("a", "add", {"embed", "c"});
  graph.add("b", "gelu", {"a"});
  graph.add("c", "gelu", {"b"});
  CHECK(refusal(graph.message) == "the operators form a cycle: 'a' -> 'b' -> 'c' -> 'a'");
}

TEST_CASE("graph: an operator that reads itself is a cycle") {
  GraphBuilder graph = small();
  graph.add("echo", "add", {"embed", "echo"});
  CHECK(refusal(graph.message) == "the operators form a cycle: 'echo' -> 'echo'");
}

TEST_CASE("graph: a long cycle is shortened") {
  GraphBuilder graph = small();
  for (int i = 0; i < 1000; ++i) {
    graph.add("op" + std::to_string(i), "gelu", {"op" + std::to_string((i + 999) % 1000)});
  }
  const std::string message = refusal(graph.message);
  CHECK(message.size() < 300);
  CHECK(message.find("988 more") != std::string::npos);
}

TEST_CASE("graph: names are unique and exist") {
  GraphBuilder twice = small();
  twice.add("tokens", "gelu", {"embed"});
  CHECK(refusal(twice.message) == "two operators or data inputs have the name 'tokens'");

  GraphBuilder parameters = small();
  parameters.parameter("weight", {1});
  CHECK(refusal(parameters.message) == "two parameters have the name 'weight'");

  GraphBuilder input = small();
  operator_of(input.message, "head").set_inputs(0, "nowhere");
  CHECK(refusal(input.message) ==
        "operator 'head': its input 'nowhere' is neither an operator nor a data input");

  GraphBuilder missing = small();
  operator_of(missing.message, "head").set_parameters(0, "bias");
  CHECK(refusal(missing.message) ==
        "operator 'head': there is no parameter 'bias'; list it under parameters");

  GraphBuilder nameless = small();
  nameless.message.mutable_operators(1)->clear_id();
  CHECK(refusal(nameless.message) == "operator without a name");
}

TEST_CASE("graph: integers go only where integers belong") {
  GraphBuilder activations = small();
  operator_of(activations.message, "head").set_inputs(0, "tokens");
  CHECK(refusal(activations.message) ==
        "operator 'head': input 1 of linear must be an operator's output, and 'tokens' is a data "
        "input");
  GraphBuilder targets = small();
  operator_of(targets.message, "loss").set_inputs(1, "embed");
  CHECK(refusal(targets.message) ==
        "operator 'loss': input 2 of cross_entropy must be a data input, and 'embed' is an "
        "operator's output");
}

TEST_CASE("graph: arity of inputs and parameters is the kind's") {
  GraphBuilder inputs = small();
  operator_of(inputs.message, "head").add_inputs("embed");
  CHECK(refusal(inputs.message) == "operator 'head': linear takes 1 input, not 2");
  GraphBuilder parameters = small();
  operator_of(parameters.message, "head").clear_parameters();
  CHECK(refusal(parameters.message) == "operator 'head': linear takes 1 or 2 parameters, not 0");
  GraphBuilder twice = small();
  operator_of(twice.message, "head").add_parameters("weight");
  CHECK(refusal(twice.message) ==
        "operator 'head': uses parameter 'weight' twice; use two operators to tie it");
}

TEST_CASE("graph: attributes are known, of their type, and in range") {
  const auto with = [](const std::string& kind, const std::string& name, auto set) {
    GraphBuilder graph = small();
    wire::Operator& op = graph.add("extra", kind, {"head"});
    set((*op.mutable_attributes())[name]);
    return refusal(graph.message);
  };
  CHECK(with("dropout", "rate", [](auto& a) { a.set_real(1.0); }) ==
        "operator 'extra': attribute 'rate' is 1; it must lie in [0, 1)");
  CHECK(with("dropout", "rate", [](auto& a) {
          a.set_real(std::numeric_limits<double>::quiet_NaN());
        }).find("must lie in [0, 1)") != std::string::npos);
  CHECK(with("dropout", "rate", [](auto& a) { a.set_integer(0); }) ==
        "operator 'extra': attribute 'rate' must be of type real: {\"real\": ...}");
  CHECK(with("dropout", "rat", [](auto& a) { a.set_real(0.0); }) ==
        "operator 'extra': dropout needs the attribute 'rate'");
  CHECK(with("gelu", "aproximate", [](auto& a) { a.set_text("tanh"); }) ==
        "operator 'extra': gelu has no attribute 'aproximate'; did you mean 'approximate'?");
  CHECK(with("gelu", "approximate", [](auto& a) { a.set_text("erf"); }) ==
        "operator 'extra': attribute 'approximate' is 'erf'; use 'none' or 'tanh'");
  CHECK(with("attention", "heads", [](auto& a) { a.set_integer(0); })
            .find("'heads' is 0") != std::string::npos);
  CHECK(with("relu", "x", [](auto&) {}) == "operator 'extra': relu has no attribute 'x'");
}

TEST_CASE("graph: the loss is a cross_entropy and everything leads to it") {
  GraphBuilder other = small();
  other.message.set_loss("head");
  CHECK(refusal(other.message) == "loss 'head' is of kind linear; it must be a cross_entropy");
  GraphBuilder nothing = small();
  nothing.message.clear_loss();
  CHECK(refusal(nothing.message) == "loss must name an operator");
  GraphBuilder data = small();
  data.message.set_logits("tokens");
  CHECK(refusal(data.message) == "logits names 'tokens', which is no operator");
  GraphBuilder dead = small();
  dead.add("dead", "gelu", {"embed"});
  CHECK(refusal(dead.message) ==
        "operator 'dead' does not lead to the loss 'loss'; remove it");
  GraphBuilder idle = small();
  idle.parameter("idle", {1});
  CHECK(refusal(idle.message) == "no operator uses parameter 'idle'; remove it");
  GraphBuilder unread = small();
  unread.message.add_data_inputs()->set_name("more");
  CHECK(refusal(unread.message) == "no operator reads data input 'more'; remove it");
}

TEST_CASE("graph: sizes are bounded") {
  GraphBuilder negative = small();
  negative.message.mutable_parameters(0)->set_shape(0, -1);
  CHECK(refusal(negative.message).find("extent of -1") != std::string::npos);
  GraphBuilder huge = small();
  huge.message.mutable_parameters(0)->set_shape(0, std::int64_t{1} << 39);
  huge.message.mutable_parameters(0)->set_shape(1, std::int64_t{1} << 39);
  CHECK(refusal(huge.message).find("more than 2^40 elements") != std::string::npos);
  GraphBuilder scalar = small();
  scalar.message.mutable_parameters(0)->clear_shape();
  CHECK(refusal(scalar.message).find("has 0 dimensions") != std::string::npos);
  GraphBuilder name = small();
  name.message.mutable_operators(0)->set_id(std::string(100'000, 'x'));
  CHECK(refusal(name.message).size() < 300);
  GraphBuilder spread = small();
  spread.message.mutable_parameters(0)->mutable_initialisation()->set_standard_deviation(
      std::numeric_limits<double>::infinity());
  CHECK(refusal(spread.message).find("standard deviation inf") != std::string::npos);
  CHECK(refusal(wire::Graph()) == "the graph has no operators");
  wire::Graph many;
  for (int i = 0; i <= kMaximumOperators; ++i) many.add_operators();
  CHECK(refusal(many) == "the graph has 32769 operators; at most 32768 are allowed");
}

TEST_CASE("graph: the largest chain is read in linear time") {
  GraphBuilder graph;
  graph.parameter("weight", {7, 4});
  graph.add("embed", "embedding", {"tokens"}, {"weight"});
  std::string last = "embed";
  for (int i = 0; i < kMaximumOperators - 3; ++i) {
    const std::string id = "op" + std::to_string(i);
    graph.add(id, "gelu", {last});
    last = id;
  }
  graph.add("head", "linear", {last}, {"weight"});
  graph.loss("head");
  auto& operators = *graph.message.mutable_operators();
  for (int i = 0, j = operators.size() - 1; i < j; ++i, --j) operators.SwapElements(i, j);
  const auto start = std::chrono::steady_clock::now();
  const auto read = Graph::from_wire(graph.message);
  REQUIRE(read.has_value());
  CHECK(read->operators.front().id == "embed");
  CHECK(read->operators.back().id == "loss");
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(10));
}

TEST_CASE("graph: random DAGs are accepted and keep their meaning when shuffled") {
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    CAPTURE(seed);
    const wire::Graph message = tests::random_graph(seed, 25);
    const auto graph = Graph::from_wire(message);
    REQUIRE_MESSAGE(graph.has_value(), graph.error().message);
    for (std::uint32_t i = 0; i < graph->operators.size(); ++i) {
      for (const ValueIndex input : graph->operators[i].inputs) {
        CHECK(input < graph->value_of(OperatorIndex{i}));
      }
      CHECK(graph->operators[i].id == message.operators(static_cast<int>(i)).id());
    }
    wire::Graph reversed = message;
    auto& operators = *reversed.mutable_operators();
    for (int i = 0, j = operators.size() - 1; i < j; ++i, --j) operators.SwapElements(i, j);
    const auto shuffled = Graph::from_wire(reversed);
    REQUIRE(shuffled.has_value());
    for (const Operator& op : shuffled->operators) {
      const Operator& same = graph->operators[graph->find_operator(op.id)->value];
      REQUIRE(op.inputs.size() == same.inputs.size());
      for (std::size_t k = 0; k < op.inputs.size(); ++k) {
        CHECK(shuffled->value_name(op.inputs[k]) == graph->value_name(same.inputs[k]));
      }
    }
  }
}

}  // namespace
}  // namespace longhaul::proto
