// Hugging Face GPT-2: a config.json becomes the operator DAG, with transformers' parameter names.
#pragma once

#include "proto/error.hpp"
#include "proto/graph.pb.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace longhaul::daemon {

struct Gpt2Options {
  // Replaces embd_pdrop, attn_pdrop and resid_pdrop; [0, 1).
  std::optional<double> dropout;
  std::uint32_t sequence_length = 1;         // n_positions must reach it
  std::optional<std::uint32_t> layers = {};  // at most so many of the config's
};

// Parameters start as in transformers: weights normal with initializer_range, the projections into
// the residual stream (c_proj) with initializer_range / sqrt(2 n_layer), biases 0, norms 1 and 0.
// Parameters of two dimensions decay, wte and wpe included; biases and norms do not.
// A setting that transformers heeds and Longhaul does not is refused by name; keys that
// transformers itself ignores for GPT-2 are ignored. Errors are kConfiguration and name the
// setting.
[[nodiscard]] proto::Result<wire::Graph> gpt2_graph(std::string_view config_json,
                                                    const Gpt2Options& options);

}  // namespace longhaul::daemon
