// A Hugging Face GPT-2 config.json, checked.
#pragma once

#include "proto/error.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace longhaul::daemon {

// An operator of the registry, and gelu's attribute `approximate` where it has one.
struct Activation {
  std::string kind;
  std::string approximate;
};

struct Gpt2Config {
  std::int64_t vocabulary = 0;
  std::int64_t positions = 0;
  std::int64_t width = 0;
  std::int64_t layers = 0;
  std::int64_t heads = 0;
  std::int64_t inner = 0;
  Activation activation;
  double epsilon = 0.0;
  double initializer_range = 0.0;
  double embedding_dropout = 0.0;
  double attention_dropout = 0.0;
  double residual_dropout = 0.0;
  bool tied = true;
};

// The five sizes are required, since a misspelt one would otherwise pass for its default; the rest
// defaults as in transformers. Errors are kConfiguration and name the setting.
[[nodiscard]] proto::Result<Gpt2Config> parse_gpt2_config(std::string_view json);

}  // namespace longhaul::daemon
