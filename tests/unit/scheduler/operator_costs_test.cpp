// Claims about the cost formulas.
#include "scheduler/operator_costs.hpp"

#include "tests/unit/sample_graphs.hpp"

#include <doctest/doctest.h>

namespace longhaul::scheduler {
namespace {

using proto::Graph;
using proto::Precision;

struct Fixture {
  explicit Fixture(const wire::Graph& message, proto::ShapeBinding binding = {2, 8})
      : graph(Graph::from_wire(message).value()),
        shapes(proto::infer_shapes(graph, binding).value()) {}

  OperatorCosts costs(const std::string& id, Precision precision = Precision::kFp32) const {
    return operator_costs(graph, *graph.find_operator(id), shapes, precision);
  }

  Graph graph;
  std::vector<proto::Shape> shapes;
};

TEST_CASE("costs: a linear is two operations per weight and row, each way") {
  const Fixture gpt(tests::gpt2_graph({.width = 8}));
  const OperatorCosts fc = gpt.costs("h.0.fc");  // [2, 8, 8] -> [2, 8, 32], with bias
  CHECK(fc.forward_flops == 2 * 16 * 8 * 32 + 16 * 32);
  CHECK(fc.input_gradient_flops == 2 * 16 * 8 * 32);
  CHECK(fc.weight_gradient_flops == 2 * 16 * 8 * 32 + 16 * 32);
  CHECK(fc.parameters == 8 * 32 + 32);
  CHECK(fc.output_bytes == 16 * 32 * 4);
  CHECK(fc.saved_bytes == 16 * 8 * 4);
  CHECK(gpt.costs("h.0.fc", Precision::kBf16).output_bytes == 16 * 32 * 2);
}

TEST_CASE("costs: attention grows with the square of the sequence") {
  const Fixture with(tests::gpt2_graph({.width = 8, .heads = 2, .dropout = 0.1}));
  const double products = 2.0 * 8 * 8 * 8;       // B T T C
  const double probabilities = 2.0 * 2 * 8 * 8;  // B heads T T
  CHECK(with.costs("h.0.attention").forward_flops == 4 * products + 14 * probabilities);
  CHECK(with.costs("h.0.attention").input_gradient_flops == 8 * products + 10 * probabilities);
  CHECK(with.costs("h.0.attention").weight_gradient_flops == 0);
  CHECK(with.costs("h.0.attention").saved_bytes == (2 * 8 * 24) * 4 + 256 * 4 + 256);
  CHECK(with.costs("h.0.attention", Precision::kBf16).saved_bytes ==
        (2 * 8 * 24) * 2 + 256 * 2 + 256);
  const Fixture without(tests::gpt2_graph({.width = 8, .heads = 2, .dropout = 0.0}));
  CHECK(without.costs("h.0.attention").forward_flops == 4 * products + 12 * probabilities);
  CHECK(without.costs("drop").flops() == 0);
}

TEST_CASE("costs: a layer_norm keeps its input and two fp32 numbers per row") {
  const Fixture gpt(tests::gpt2_graph({.width = 8}));
  CHECK(gpt.costs("ln_f").saved_bytes == 16 * 8 * 4 + 2 * 16 * 4);
  CHECK(gpt.costs("ln_f", Precision::kBf16).saved_bytes == 16 * 8 * 2 + 2 * 16 * 4);
}

TEST_CASE("costs: the loss is one fp32 number and keeps logits, targets and sums") {
  const Fixture gpt(tests::gpt2_graph({.vocabulary = 17}));
  const OperatorCosts loss = gpt.costs("loss", Precision::kBf16);
  CHECK(loss.output_bytes == 4);
  CHECK(loss.saved_bytes == 16 * 17 * 2 + 16 * 8 + 16 * 4);
}

TEST_CASE("costs: a whole GPT-2 does about six operations per parameter and token") {
  const Fixture gpt(tests::gpt2_graph({.layers = 4,
                                       .width = 256,
                                       .heads = 4,
                                       .vocabulary = 4096,
                                       .positions = 64,
                                       .dropout = 0.0}),
                    {4, 64});
  double flops = 0;
  double parameters = 0;  // of matrix products: the embeddings are looked up
  for (std::uint32_t i = 0; i < gpt.graph.operators.size(); ++i) {
    const OperatorCosts costs =
        operator_costs(gpt.graph, proto::OperatorIndex{i}, gpt.shapes, Precision::kFp32);
    flops += costs.flops();
    if (gpt.graph.operators[i].kind == proto::OperatorKind::kLinear) {
      parameters += static_cast<double>(costs.parameters);
    }
  }
  const double expected = 6.0 * parameters * 4 * 64;
  CHECK(flops > expected);
  CHECK(flops < 1.1 * expected);
}

TEST_CASE("costs: a convolution multiplies by its kernel's extent") {
  tests::GraphBuilder builder;
  builder.parameter("weight", {7, 6});
  builder.parameter("kernel", {4, 6, 3});
  builder.add("embed", "embedding", {"tokens"}, {"weight"});
  builder.add("conv", "causal_conv1d", {"embed"}, {"kernel"});
  builder.loss("conv");
  const Fixture conv(builder.message);
  CHECK(conv.costs("conv").forward_flops == 2.0 * 16 * 4 * 6 * 3);
  CHECK(conv.costs("embed").forward_flops == 0);
  CHECK(conv.costs("embed").saved_bytes == 16 * 8);
}

}  // namespace
}  // namespace longhaul::scheduler
