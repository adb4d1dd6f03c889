// The small JSON files of an exported model.
#pragma once

#include "compnode/files/dtype.hpp"
#include "proto/error.hpp"
#include "proto/graph.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace longhaul::compnode {

// What an export takes from a graph's Hugging Face configuration.
struct ModelConfig {
  std::string config;                     // config.json
  std::optional<std::string> generation;  // generation_config.json, if there is something to say
  std::optional<std::uint64_t> positions;
};

// The graph's own config.json, with architectures, dtype and tie_word_embeddings as they are in the
// weights that are written; everything else stays. Requires graph.huggingface_config_json.
// kConfiguration: it is not a JSON object.
[[nodiscard]] proto::Result<ModelConfig> model_config(const proto::Graph& graph, Dtype weights);

}  // namespace longhaul::compnode
