// Exported folders: what they hold, and what they may replace.
#include "compnode/files/model_export.hpp"

#include "compnode/files/model_weights.hpp"
#include "tests/unit/files/sample_model.hpp"
#include "tests/unit/files/result_text.hpp"
#include "tests/unit/files/scratch_folder.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace longhaul::compnode {
namespace {

using test::sample_graph;
using test::SampleWeights;
using test::ScratchFolder;
using Names = std::vector<std::string>;

nlohmann::json json_of(const std::filesystem::path& path) {
  return nlohmann::json::parse(test::read_bytes(path));
}

void check_same_weights(const std::filesystem::path& folder, const proto::Graph& graph,
                        const SampleWeights& sample) {
  const auto weights = ModelWeights::open(folder, graph);
  REQUIRE(weights);
  for (std::uint32_t i = 0; i < graph.parameters.size(); ++i) {
    std::vector<float> values(sample.values(i).size());
    REQUIRE(read_f32(weights->parameter(proto::ParameterIndex(i)), values));
    CHECK(values == sample.values(i));
  }
}

TEST_CASE("export: the folder holds the configuration as trained and the weights by name") {
  const ScratchFolder folder;
  const auto graph = sample_graph();
  const SampleWeights sample(graph);
  REQUIRE(export_model(graph, sample.tensors(), {.folder = folder / "model", .tokenizer = {}}));
  CHECK(test::names_in(folder.path()) == Names{"model"});
  CHECK(test::names_in(folder / "model") ==
        Names{"config.json", "generation_config.json", "longhaul.json", "model.safetensors"});
  const auto config = json_of(folder / "model/config.json");
  CHECK(config["architectures"] == nlohmann::json{"GPT2LMHeadModel"});
  CHECK(config["torch_dtype"] == "float32");
  CHECK(config["tie_word_embeddings"] == true);
  CHECK(config["n_embd"] == 4);
  const auto generation = json_of(folder / "model/generation_config.json");
  CHECK(generation["eos_token_id"] == 10);
  const auto file = SafetensorsFile::open(folder / "model/model.safetensors");
  CHECK(file->metadata() == Metadata{{"format", "pt"}});
  CHECK_FALSE(file->tensors().contains("lm_head.weight"));
  check_same_weights(folder / "model", graph, sample);
}

TEST_CASE("export: an untied head is written and said to be untied") {
  const ScratchFolder folder;
  const auto graph = sample_graph(4, false);
  const SampleWeights sample(graph);
  REQUIRE(export_model(graph, sample.tensors(), {.folder = folder / "model", .tokenizer = {}}));
  CHECK(json_of(folder / "model/config.json")["tie_word_embeddings"] == false);
  check_same_weights(folder / "model", graph, sample);
}

TEST_CASE("export: large models are cut into shards that are read back together") {
  const ScratchFolder folder;
  const auto graph = sample_graph();
  const SampleWeights sample(graph);
  REQUIRE(export_model(graph, sample.tensors(),
                       {.folder = folder / "model", .tokenizer = {}, .shard_bytes = 300}));
  const auto index = json_of(folder / "model/model.safetensors.index.json");
  std::uint64_t total = 0;
  for (const auto& tensor : sample.tensors()) total += tensor.view.bytes.size();
  CHECK(index["metadata"]["total_size"] == total);
  CHECK(index["weight_map"]["transformer.wte.weight"] == "model-00001-of-00003.safetensors");
  CHECK_FALSE(std::filesystem::exists(folder / "model/model.safetensors"));
  check_same_weights(folder / "model", graph, sample);
}

TEST_CASE("export: a graph of no known family is written as a graph file") {
  const ScratchFolder folder;
  auto graph = sample_graph();
  graph.huggingface_config_json.clear();
  const SampleWeights sample(graph);
  REQUIRE(export_model(graph, sample.tensors(), {.folder = folder / "model", .tokenizer = {}}));
  CHECK(test::names_in(folder / "model") ==
        Names{"graph.json", "longhaul.json", "model.safetensors"});
  const auto parsed = proto::parse_graph_json(test::read_bytes(folder / "model/graph.json"), 0.5);
  REQUIRE(parsed);
  const auto again = proto::Graph::from_wire(*parsed);
  REQUIRE(again);
  CHECK(again->to_wire().SerializeAsString().size() == graph.to_wire().SerializeAsString().size());
  CHECK(again->parameters.size() == graph.parameters.size());
}

TEST_CASE("export: OpenAI's tokenizer files get the names that transformers wants") {
  const ScratchFolder folder;
  const auto graph = sample_graph();
  const SampleWeights sample(graph);
  test::write_bytes(folder / "gpt2/encoder.json", R"({"a": 0, "<|endoftext|>": 10})");
  test::write_bytes(folder / "gpt2/vocab.bpe", "#version: 0.2\na b\n");
  REQUIRE(export_model(graph, sample.tensors(),
                       {.folder = folder / "model", .tokenizer = folder / "gpt2"}));
  CHECK(test::read_bytes(folder / "model/vocab.json") ==
        test::read_bytes(folder / "gpt2/encoder.json"));
  CHECK(test::read_bytes(folder / "model/merges.txt") == "#version: 0.2\na b\n");
  const auto settings = json_of(folder / "model/tokenizer_config.json");
  CHECK(settings["tokenizer_class"] == "GPT2Tokenizer");
  CHECK(settings["eos_token"] == "<|endoftext|>");
  CHECK(settings["model_max_length"] == 8);
}

TEST_CASE("export: a tokenizer's own settings are kept, and a folder without one is refused") {
  const ScratchFolder folder;
  const auto graph = sample_graph();
  const SampleWeights sample(graph);
  test::write_bytes(folder / "t/tokenizer.json", "{}");
  test::write_bytes(folder / "t/tokenizer_config.json", R"({"mine": 1})");
  test::write_bytes(folder / "t/README.md", "not for us");
  REQUIRE(
      export_model(graph, sample.tensors(), {.folder = folder / "m", .tokenizer = folder / "t"}));
  CHECK(json_of(folder / "m/tokenizer_config.json")["mine"] == 1);
  CHECK_FALSE(std::filesystem::exists(folder / "m/README.md"));
  REQUIRE(export_model(graph, sample.tensors(),
                       {.folder = folder / "m", .tokenizer = folder / "t/tokenizer.json"}));
  CHECK(json_of(folder / "m/tokenizer_config.json")["tokenizer_class"] ==
        "PreTrainedTokenizerFast");
  std::filesystem::create_directory(folder / "none");
  const auto refused =
      export_model(graph, sample.tensors(), {.folder = folder / "x", .tokenizer = folder / "none"});
  REQUIRE_FALSE(refused);
  CHECK(refused.error().kind == proto::ErrorKind::kConfiguration);
  CHECK_FALSE(std::filesystem::exists(folder / "x"));
}

TEST_CASE("export: an earlier export is replaced, also by one that reads its tokenizer") {
  const ScratchFolder folder;
  const auto graph = sample_graph();
  const SampleWeights old_weights(graph);
  const SampleWeights new_weights(graph, 0.5F);
  test::write_bytes(folder / "t/tokenizer.json", "{}");
  REQUIRE(export_model(graph, old_weights.tensors(),
                       {.folder = folder / "m", .tokenizer = folder / "t", .shard_bytes = 300}));
  REQUIRE(export_model(graph, new_weights.tensors(),
                       {.folder = folder / "m", .tokenizer = folder / "m"}));
  CHECK(test::names_in(folder / "m") ==
        Names{"config.json", "generation_config.json", "longhaul.json", "model.safetensors",
              "tokenizer.json", "tokenizer_config.json"});
  check_same_weights(folder / "m", graph, new_weights);
  CHECK(test::names_in(folder.path()) == Names{"m", "t"});
}

TEST_CASE("export: what no export wrote is never overwritten") {
  const ScratchFolder folder;
  const auto graph = sample_graph();
  const SampleWeights sample(graph);
  const auto message = [&](const std::filesystem::path& target) {
    const auto result = export_model(graph, sample.tensors(), {.folder = target, .tokenizer = {}});
    REQUIRE_FALSE(result);
    CHECK(result.error().kind == proto::ErrorKind::kConfiguration);
    CHECK(check_export_folder(target).error() == result.error());
    return result.error().message;
  };
  test::write_bytes(folder / "theirs/model.safetensors", "precious");
  CHECK(message(folder / "theirs") ==
        (folder / "theirs").string() + ": holds 'model.safetensors', which no export of Longhaul "
                                       "wrote: empty the folder or name another one");
  REQUIRE(export_model(graph, sample.tensors(), {.folder = folder / "ours", .tokenizer = {}}));
  test::write_bytes(folder / "ours/notes.txt", "precious");
  CHECK(message(folder / "ours").find("holds 'notes.txt'") != std::string::npos);
  test::write_bytes(folder / "file", "precious");
  CHECK(message(folder / "file").find("is not a folder") != std::string::npos);
  for (const char* kept : {"theirs/model.safetensors", "ours/notes.txt", "file"}) {
    CHECK(test::read_bytes(folder / kept) == "precious");
  }
  CHECK(check_export_folder(folder / "new"));
}

TEST_CASE("export: the same weights give the same bytes") {
  const ScratchFolder folder;
  const auto graph = sample_graph();
  const SampleWeights sample(graph);
  auto reversed = sample.tensors();
  std::reverse(reversed.begin(), reversed.end());
  REQUIRE(export_model(graph, sample.tensors(), {.folder = folder / "a", .tokenizer = {}}));
  REQUIRE(export_model(graph, reversed, {.folder = folder / "b", .tokenizer = {}}));
  for (const auto& name : test::names_in(folder / "a")) {
    CHECK(test::read_bytes(folder / "a" / name) == test::read_bytes(folder / "b" / name));
  }
}

}  // namespace
}  // namespace longhaul::compnode
