// Names and shapes between a folder and a graph.
#include "compnode/files/model_weights.hpp"

#include "tests/unit/files/sample_model.hpp"
#include "tests/unit/files/result_text.hpp"
#include "tests/unit/files/scratch_folder.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>
#include <vector>

namespace longhaul::compnode {
namespace {

using test::sample_graph;
using test::SampleWeights;
using test::ScratchFolder;

std::vector<float> read_all(const TensorView& view) {
  std::vector<float> out(static_cast<std::size_t>(proto::element_count(view.shape)));
  REQUIRE(read_f32(view, out));
  return out;
}

proto::Result<ModelWeights> open_with(const ScratchFolder& folder, const proto::Graph& graph,
                                      const std::vector<NamedTensor>& tensors) {
  REQUIRE(write_safetensors(folder / "model.safetensors", tensors, {{"format", "pt"}}));
  return ModelWeights::open(folder.path(), graph);
}

std::string without_prefix(const std::string& name) {
  return name.starts_with("transformer.") ? name.substr(12) : name;
}

TEST_CASE("model weights: names with and without 'transformer.' give the same parameters") {
  const ScratchFolder folder;
  const auto graph = sample_graph();
  const SampleWeights sample(graph);
  auto tensors = sample.tensors();
  for (const bool prefixed : {true, false}) {
    if (!prefixed) {
      for (auto& tensor : tensors) tensor.name = without_prefix(tensor.name);
    }
    const auto weights = open_with(folder, graph, tensors);
    REQUIRE(weights);
    for (std::uint32_t i = 0; i < graph.parameters.size(); ++i) {
      CHECK(read_all(weights->parameter(proto::ParameterIndex(i))) == sample.values(i));
    }
  }
}

TEST_CASE("model weights: a graph without the prefix takes a folder that has it") {
  const ScratchFolder folder;
  auto graph = sample_graph();
  const SampleWeights sample(graph);
  for (auto& parameter : graph.parameters) parameter.name = without_prefix(parameter.name);
  CHECK(open_with(folder, graph, sample.tensors()));
}

TEST_CASE("model weights: buffers and a tied head are passed over") {
  const ScratchFolder folder;
  const auto graph = sample_graph();
  const SampleWeights sample(graph);
  auto tensors = sample.tensors();
  const std::vector<std::byte> mask(64, std::byte{1});
  tensors.push_back({"transformer.h.0.attn.bias", {Dtype::kU8, {1, 1, 8, 8}, mask}});
  tensors.push_back(
      {"transformer.h.0.attn.masked_bias", {Dtype::kU8, {}, std::span(mask).first(1)}});
  tensors.push_back({"lm_head.weight", tensors[0].view});
  CHECK(open_with(folder, graph, tensors));
}

TEST_CASE("model weights: a head that differs from what it is tied to is refused") {
  const ScratchFolder folder;
  const auto graph = sample_graph();
  const SampleWeights sample(graph);
  const SampleWeights other(graph, 1.0F);
  auto tensors = sample.tensors();
  tensors.push_back({"lm_head.weight", other.tensors()[0].view});
  const auto weights = open_with(folder, graph, tensors);
  REQUIRE_FALSE(weights);
  CHECK(weights.error().message.find("set tie_word_embeddings to false") != std::string::npos);
}

TEST_CASE("model weights: an untied head is a parameter like any other") {
  const ScratchFolder folder;
  const auto graph = sample_graph(4, false);
  const SampleWeights sample(graph);
  const auto weights = open_with(folder, graph, sample.tensors());
  REQUIRE(weights);
  const auto head = graph.find_parameter("lm_head.weight");
  CHECK(read_all(weights->parameter(*head)) == sample.values(head->value));
}

TEST_CASE("model weights: everything that does not fit stands in one line") {
  const ScratchFolder folder;
  const auto graph = sample_graph();
  const SampleWeights sample(graph);
  auto tensors = sample.tensors();
  tensors[0].view.shape = {4, 11};
  tensors[1].view.dtype = Dtype::kI32;
  tensors[2].name = "transformer.h.1.ln_1.weight";
  const auto weights = open_with(folder, graph, tensors);
  REQUIRE_FALSE(weights);
  CHECK(weights.error().kind == proto::ErrorKind::kConfiguration);
  CHECK(weights.error().message ==
        folder.path().string() +
            ": its weights do not fit the model: missing: transformer.h.0.ln_1.weight [4]; "
            "surplus: 'transformer.h.1.ln_1.weight' [4]; "
            "different: 'transformer.wte.weight' is [4, 11] in the folder and [11, 4] in the "
            "model, 'transformer.wpe.weight' has dtype I32 instead of F32, F16, BF16 or F64");
}

TEST_CASE("model weights: a folder of another model does not flood the screen") {
  const ScratchFolder folder;
  const auto graph = sample_graph();
  std::vector<NamedTensor> tensors;
  for (int i = 0; i < 10'000; ++i) {
    tensors.push_back({fmt::format("x{}", i), {Dtype::kF32, {0}, {}}});
  }
  const auto weights = open_with(folder, graph, tensors);
  REQUIRE_FALSE(weights);
  CHECK(weights.error().message.size() < 10'000);
  CHECK(weights.error().message.find("and 9800 more") != std::string::npos);
}

}  // namespace
}  // namespace longhaul::compnode
