// Claims about what operators keep for their backward.
#include "proto/saved_values.hpp"

#include "tests/unit/sample_graphs.hpp"

#include <doctest/doctest.h>

#include <set>

namespace longhaul::proto {
namespace {

Operator make(OperatorKind kind, double rate = 0.0) {
  Operator op;
  op.kind = kind;
  op.rate = rate;
  op.heads = 2;
  return op;
}

TEST_CASE("saved: layer_norm keeps its input and two numbers per row") {
  const SavedValues saved = saved_values(make(OperatorKind::kLayerNorm), {3, 5, 8}, {3, 5, 8});
  CHECK(saved == SavedValues{.inputs = {true, false}, .fp32_elements = 30});
}

TEST_CASE("saved: attention keeps probabilities, and their mask only with dropout") {
  const SavedValues without =
      saved_values(make(OperatorKind::kAttention), {3, 5, 24}, {3, 5, 8});
  CHECK(without == SavedValues{.inputs = {true, false}, .activation_elements = 3 * 2 * 25});
  const SavedValues with =
      saved_values(make(OperatorKind::kAttention, 0.1), {3, 5, 24}, {3, 5, 8});
  CHECK(with.mask_bytes == 3 * 2 * 25);
}

TEST_CASE("saved: dropout keeps its mask, and nothing at rate 0") {
  CHECK(saved_values(make(OperatorKind::kDropout), {2, 3}, {2, 3}) == SavedValues{});
  CHECK(saved_values(make(OperatorKind::kDropout, 0.5), {2, 3}, {2, 3}) ==
        SavedValues{.mask_bytes = 6});
}

TEST_CASE("saved: tanh and sigmoid keep their output, gelu, relu and silu their input") {
  for (const OperatorKind kind : {OperatorKind::kTanh, OperatorKind::kSigmoid}) {
    CHECK(saved_values(make(kind)) == SavedValues{.output = true});
  }
  for (const OperatorKind kind : {OperatorKind::kGelu, OperatorKind::kRelu, OperatorKind::kSilu}) {
    CHECK(saved_values(make(kind)) == SavedValues{.inputs = {true, false}});
  }
}

TEST_CASE("saved: a value that several operators keep is kept once") {
  tests::GraphBuilder builder;
  builder.parameter("weight", {7, 6});
  builder.parameter("square", {6, 6});
  builder.add("embed", "embedding", {"tokens"}, {"weight"});
  builder.add("left", "linear", {"embed"}, {"square"});
  builder.add("right", "linear", {"embed"}, {"square"});
  builder.add("gate", "sigmoid", {"right"});
  builder.add("product", "multiply", {"left", "gate"});
  builder.loss("product");
  const auto graph = Graph::from_wire(builder.message);
  REQUIRE(graph.has_value());
  std::vector<OperatorIndex> all;
  for (std::uint32_t i = 0; i < graph->operators.size(); ++i) all.push_back(OperatorIndex{i});
  std::set<std::string> names;
  for (const ValueIndex value : kept_values(*graph, all)) names.insert(graph->value_name(value));
  CHECK(names ==
        std::set<std::string>{"tokens", "targets", "embed", "left", "gate", "product"});
  CHECK(kept_values(*graph, all).size() == names.size());
}

}  // namespace
}  // namespace longhaul::proto
