// Writes a trained model as a folder that Hugging Face's transformers loads.
#pragma once

#include "compnode/files/tensor_view.hpp"
#include "proto/error.hpp"
#include "proto/graph.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>

namespace longhaul::compnode {

struct ExportOptions {
  std::filesystem::path folder;  // parents are made
  // The folder of vocab.json and merges.txt (or OpenAI's encoder.json and vocab.bpe) or of
  // tokenizer.json; or a tokenizer.json itself.
  std::optional<std::filesystem::path> tokenizer = {};
  std::uint64_t shard_bytes = 5'000'000'000;  // a file holds at most this, or a single tensor
};

// Writes config.json (from the graph's own; `graph.json` where it has none), the weights as
// model.safetensors or shards with an index, tokenizer files under the names that transformers
// wants, and `longhaul.json`, which lists what was written. `parameters` has every parameter of
// the graph once, under its name and in its shape (asserted). The same arguments give the same
// bytes.
//
// The folder appears whole or not at all. One that is there is replaced only if it is empty or an
// earlier export in which nothing was added; otherwise kConfiguration. Disk errors are kResource
// and name the path.
[[nodiscard]] proto::Result<void> export_model(const proto::Graph& graph,
                                               std::span<const NamedTensor> parameters,
                                               const ExportOptions& options);

// Whether export_model would refuse the folder, for a check before the training.
[[nodiscard]] proto::Result<void> check_export_folder(const std::filesystem::path& folder);

}  // namespace longhaul::compnode
