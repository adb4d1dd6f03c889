// Reads config.json: every setting that transformers' GPT-2 heeds is taken over or refused.
#include "daemon/configuration/gpt2_config.hpp"

#include "proto/text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <array>
#include <initializer_list>
#include <optional>
#include <utility>

namespace longhaul::daemon {
namespace {

using Json = nlohmann::json;

std::string shown(const Json& value) {
  return proto::quoted(value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

// Reads settings one after the other and keeps the first error.
class Settings {
 public:
  explicit Settings(const Json& object) : object_(object) {}

  struct Bounds {
    std::int64_t minimum;
    std::int64_t maximum;
  };
  // `names`: the setting's own and the aliases that transformers knows for it.
  std::int64_t integer(std::initializer_list<const char*> names, Bounds bounds,
                       std::optional<std::int64_t> fallback) {
    const auto [name, value] = find(names);
    if (value == nullptr && fallback) return *fallback;
    if (value == nullptr) {
      refuse(fmt::format("{} is missing", name));
    } else if (!value->is_number_integer() || *value < bounds.minimum || *value > bounds.maximum) {
      refuse(fmt::format("{} is {}; it must be an integer from {} to {}", name, shown(*value),
                         bounds.minimum, bounds.maximum));
    } else {
      return value->get<std::int64_t>();
    }
    return bounds.minimum;
  }

  // In [0, maximum) or, with `positive`, (0, maximum).
  double real(const char* name, double fallback, double maximum, bool positive) {
    const auto [found, value] = find({name});
    if (value == nullptr) return fallback;
    const double number = value->is_number() ? value->get<double>() : -1.0;
    if (number >= 0.0 && number < maximum && !(positive && number == 0.0)) return number;
    refuse(fmt::format("{} is {}; it must be a number {} 0 and less than {}", found, shown(*value),
                       positive ? "more than" : "of at least", maximum));
    return fallback;
  }

  bool flag(const char* name, bool fallback) {
    const auto [found, value] = find({name});
    if (value == nullptr) return fallback;
    if (!value->is_boolean()) {
      refuse(fmt::format("{} is {}; it must be true or false", found, shown(*value)));
      return fallback;
    }
    return value->get<bool>();
  }

  std::string text(const char* name, std::string fallback) {
    const auto [found, value] = find({name});
    if (value == nullptr) return fallback;
    if (!value->is_string()) {
      refuse(fmt::format("{} is {}; it must be text", found, shown(*value)));
      return fallback;
    }
    return value->get<std::string>();
  }

  // The setting, where it is there, must be `only`.
  void require(const char* name, const Json& only) {
    const auto [found, value] = find({name});
    if (value != nullptr && *value != only) {
      refuse(fmt::format("{} is {}, which is not supported; only {} is", found, shown(*value),
                         shown(only)));
    }
  }

  void refuse(std::string message) {
    if (!error_) error_ = proto::configuration_error(std::move(message));
  }
  [[nodiscard]] const std::optional<proto::Error>& error() const { return error_; }

 private:
  // null counts as missing, as in Python's None for a default.
  std::pair<const char*, const Json*> find(std::initializer_list<const char*> names) const {
    for (const char* name : names) {
      const auto found = object_.find(name);
      if (found != object_.end() && !found->is_null()) return {name, &*found};
    }
    return {*names.begin(), nullptr};
  }

  const Json& object_;
  std::optional<proto::Error> error_;
};

Activation read_activation(Settings& settings) {
  struct Known {
    std::string_view name;
    Activation activation;
  };
  // gelu_new, gelu_fast and gelu_pytorch_tanh are three ways to compute one formula.
  static const std::array<Known, 8> known{{{"gelu_new", {"gelu", "tanh"}},
                                           {"gelu_fast", {"gelu", "tanh"}},
                                           {"gelu_pytorch_tanh", {"gelu", "tanh"}},
                                           {"gelu", {"gelu", "none"}},
                                           {"relu", {"relu", ""}},
                                           {"silu", {"silu", ""}},
                                           {"swish", {"silu", ""}},
                                           {"tanh", {"tanh", ""}}}};
  const std::string name = settings.text("activation_function", "gelu_new");
  for (const Known& candidate : known) {
    if (candidate.name == name) return candidate.activation;
  }
  settings.refuse(
      fmt::format("activation_function {} is not supported; use gelu_new, gelu, relu, silu or tanh",
                  proto::quoted(name)));
  return known[0].activation;
}

void refuse_other_mathematics(Settings& settings) {
  if (const std::string type = settings.text("model_type", ""); type != "gpt2") {
    settings.refuse(
        type.empty() ? "model_type is missing; gpt2 is the one that is supported"
                     : fmt::format("model_type {} is not supported; gpt2 is", proto::quoted(type)));
  }
  settings.require("scale_attn_weights", true);
  settings.require("scale_attn_by_inverse_layer_idx", false);
  settings.require("reorder_and_upcast_attn", false);
  settings.require("add_cross_attention", false);
  settings.require("is_encoder_decoder", false);
  settings.require("tie_encoder_decoder", false);
  settings.require("pruned_heads", Json::object());
  settings.require("quantization_config", nullptr);
  settings.require("auto_map", nullptr);
}

}  // namespace

proto::Result<Gpt2Config> parse_gpt2_config(std::string_view json) {
  Json object;
  try {
    object = Json::parse(json);
  } catch (const Json::parse_error& error) {
    return proto::configuration_error(fmt::format("not valid JSON at byte {}", error.byte));
  }
  if (!object.is_object()) return proto::configuration_error("not a JSON object");
  Settings settings(object);
  refuse_other_mathematics(settings);
  Gpt2Config config;
  config.vocabulary = settings.integer({"vocab_size"}, {1, 1 << 24}, std::nullopt);
  config.positions =
      settings.integer({"n_positions", "max_position_embeddings"}, {1, 1 << 24}, std::nullopt);
  config.width = settings.integer({"n_embd", "hidden_size"}, {1, 1 << 16}, std::nullopt);
  config.layers = settings.integer({"n_layer", "num_hidden_layers"}, {1, 4096}, std::nullopt);
  config.heads = settings.integer({"n_head", "num_attention_heads"}, {1, 1 << 17}, std::nullopt);
  config.inner = settings.integer({"n_inner"}, {1, 1 << 20}, 4 * config.width);
  if (config.width % config.heads != 0) {
    settings.refuse(fmt::format("n_head must divide n_embd, but {} does not divide {}",
                                config.heads, config.width));
  }
  config.activation = read_activation(settings);
  config.epsilon = settings.real("layer_norm_epsilon", 1e-5, 1.0, true);
  config.initializer_range = settings.real("initializer_range", 0.02, 1000.0, true);
  config.embedding_dropout = settings.real("embd_pdrop", 0.1, 1.0, false);
  config.attention_dropout = settings.real("attn_pdrop", 0.1, 1.0, false);
  config.residual_dropout = settings.real("resid_pdrop", 0.1, 1.0, false);
  config.tied = settings.flag("tie_word_embeddings", true);
  if (settings.error()) return *settings.error();
  return config;
}

}  // namespace longhaul::daemon
