// Claims about graph files.
#include "proto/graph.hpp"

#include <doctest/doctest.h>

#include <string>

namespace longhaul::proto {
namespace {

constexpr std::string_view kFile = R"({
  "name": "tiny",
  "dataInputs": [{"name": "tokens"}, {"name": "targets", "kind": "TARGETS"}],
  "parameters": [
    {"name": "weight", "shape": [11, 4],
     "initialisation": {"kind": "NORMAL", "standardDeviation": 0.02}, "weightDecay": true}],
  "operators": [
    {"id": "embed", "kind": "embedding", "inputs": ["tokens"], "parameters": ["weight"]},
    {"id": "drop", "kind": "dropout", "inputs": ["embed"]},
    {"id": "fixed", "kind": "dropout", "inputs": ["drop"], "attributes": {"rate": {"real": 0.5}}},
    {"id": "head", "kind": "linear", "inputs": ["fixed"], "parameters": ["weight"]},
    {"id": "loss", "kind": "cross_entropy", "inputs": ["head", "targets"]}],
  "loss": "loss", "logits": "head"
})";

TEST_CASE("graph file: dropout that is left open is the job's") {
  const auto message = parse_graph_json(kFile, 0.25);
  REQUIRE(message.has_value());
  const auto graph = Graph::from_wire(*message);
  REQUIRE(graph.has_value());
  CHECK(graph->operators[1].rate == 0.25);
  CHECK(graph->operators[2].rate == 0.5);
  CHECK(graph->parameters[0].weight_decay);
  CHECK(graph->parameters[0].initialisation == wire::Initialisation::NORMAL);
}

TEST_CASE("graph file: what is wrong with it is said in one line, as Protobuf says it") {
  const auto error_of = [](std::string_view json) {
    const auto message = parse_graph_json(json, 0.0);
    REQUIRE(message.has_error());
    CHECK(message.error().kind == ErrorKind::kConfiguration);
    CHECK(message.error().message.find('\n') == std::string::npos);
    return message.error().message;
  };
  CHECK(error_of("{\"name\" 1}").find("not a graph in Protobuf JSON: Expected :") == 0);
  CHECK(error_of("{\"operatrs\": []}").find("operatrs: Cannot find field") != std::string::npos);
  CHECK(error_of("{\"operators\": [{\"id\": 5.5, \"inputs\": {}}]}").size() > 30);
  CHECK(error_of("").size() > 30);
  CHECK(error_of("\xff\xfe").size() > 30);
}

TEST_CASE("graph file: deep nesting is refused, not recursed into") {
  const std::string deep = "{\"operators\":" + std::string(1'000'000, '[');
  CHECK(parse_graph_json(deep, 0.0).has_error());
}

TEST_CASE("graph file: more than 64 MiB are refused before they are read") {
  const std::string large((std::size_t{64} << 20) + 1, ' ');
  CHECK(parse_graph_json(large, 0.0).error().message ==
        "a graph of 67108865 bytes; at most 67108864 are allowed");
}

}  // namespace
}  // namespace longhaul::proto
