// Brings config.json in line with what was trained.
#include "compnode/files/model_config.hpp"

#include "proto/assert.hpp"

#include <nlohmann/json.hpp>

namespace longhaul::compnode {
namespace {

using Json = nlohmann::ordered_json;

std::string text_of(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

// As torch names it.
std::string_view torch_name(Dtype dtype) {
  if (dtype == Dtype::kF16) return "float16";
  if (dtype == Dtype::kBF16) return "bfloat16";
  if (dtype == Dtype::kF64) return "float64";
  LONGHAUL_ASSERT(dtype == Dtype::kF32);
  return "float32";
}

std::optional<std::string> generation_config(const Json& config) {
  Json generation = {{"_from_model_config", true}};
  for (const char* key : {"bos_token_id", "eos_token_id", "pad_token_id"}) {
    if (config.contains(key) && !config[key].is_null()) generation[key] = config[key];
  }
  if (generation.size() == 1) return std::nullopt;
  return text_of(generation);
}

}  // namespace

proto::Result<ModelConfig> model_config(const proto::Graph& graph, Dtype weights) {
  Json config = Json::parse(graph.huggingface_config_json, nullptr, false);
  if (!config.is_object()) {
    return proto::configuration_error("the graph's huggingface_config_json is not a JSON object");
  }
  if (config.value("model_type", Json()) == "gpt2") {
    config["architectures"] = {"GPT2LMHeadModel"};
    config["tie_word_embeddings"] = !graph.find_parameter("lm_head.weight").has_value();
  }
  // "dtype" is the newer name; every version of transformers reads the older one.
  config["torch_dtype"] = torch_name(weights);
  if (config.contains("dtype")) config["dtype"] = torch_name(weights);
  ModelConfig result;
  result.config = text_of(config);
  result.generation = generation_config(config);
  if (const auto positions = config.find("n_positions");
      positions != config.end() && positions->is_number_unsigned()) {
    result.positions = positions->get<std::uint64_t>();
  }
  return result;
}

}  // namespace longhaul::compnode
