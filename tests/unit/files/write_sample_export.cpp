// Writes folders for check_export.py to read: one file, shards, a graph file, a checkpoint.
#include "compnode/files/checkpoint_file.hpp"
#include "compnode/files/model_export.hpp"
#include "tests/unit/files/sample_model.hpp"

#include <filesystem>
#include <fstream>
#include <iostream>

int main(int argc, char** argv) {
  using namespace longhaul::compnode;
  if (argc != 2) {
    std::cerr << "usage: write_sample_export FOLDER\n";
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  std::filesystem::create_directories(folder / "gpt2");
  std::ofstream(folder / "gpt2/encoder.json") << R"({"a": 0, "<|endoftext|>": 10})";
  std::ofstream(folder / "gpt2/vocab.bpe") << "#version: 0.2\na b\n";

  auto graph = test::sample_graph();
  const test::SampleWeights sample(graph);
  export_model(graph, sample.tensors(), {.folder = folder / "single", .tokenizer = folder / "gpt2"})
      .value();
  export_model(graph, sample.tensors(),
               {.folder = folder / "sharded", .tokenizer = {}, .shard_bytes = 300})
      .value();
  StageSnapshot snapshot;
  snapshot.info = {.step = 50, .seed = 7, .data_cursor = 1600, .graph = "f00d", .run = "job \"1\""};
  for (const NamedTensor& tensor : sample.tensors()) {
    snapshot.tensors.push_back({tensor.name, tensor.view, nullptr});
  }
  write_stage_file(folder / "checkpoints", snapshot).value();
  graph.huggingface_config_json.clear();
  export_model(graph, sample.tensors(), {.folder = folder / "graph", .tokenizer = {}}).value();
  return 0;
}
