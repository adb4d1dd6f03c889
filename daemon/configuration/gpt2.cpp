// GPT-2 as an operator graph. The shape of the model and the names of its parameters are those of
// transformers' GPT2LMHeadModel, whose linear layers ("Conv1D") keep their weights as [in, out].
#include "daemon/configuration/gpt2.hpp"

#include "daemon/configuration/gpt2_config.hpp"
#include "daemon/configuration/graph_builder.hpp"

#include <algorithm>
#include <fmt/format.h>

#include <cmath>
#include <utility>

namespace longhaul::daemon {
namespace {

class Gpt2Builder {
 public:
  explicit Gpt2Builder(Gpt2Config config) : config_(std::move(config)) {}

  wire::Graph build() {
    add_data_inputs();
    std::string hidden = embedding();
    for (std::int64_t layer = 0; layer < config_.layers; ++layer) hidden = block(layer, hidden);
    head(hidden);
    return std::move(builder_.graph);
  }

 private:
  void add_data_inputs() {
    wire::Graph& graph = builder_.graph;
    graph.set_name("gpt2");
    wire::DataInput& tokens = *graph.add_data_inputs();
    tokens.set_name("tokens");
    tokens.set_kind(wire::DataInput::TOKENS);
    wire::DataInput& targets = *graph.add_data_inputs();
    targets.set_name("targets");
    targets.set_kind(wire::DataInput::TARGETS);
  }

  std::string embedding() {
    const auto start = normal(config_.initializer_range);
    builder_.op("wte", "embedding", {"tokens"},
                {builder_.parameter(kTokenEmbedding, {config_.vocabulary, config_.width}, start)});
    builder_.op(
        "wpe", "add_position", {"wte"},
        {builder_.parameter("transformer.wpe.weight", {config_.positions, config_.width}, start)});
    return dropout("embd.dropout", "wpe", config_.embedding_dropout);
  }

  std::string block(std::int64_t layer, const std::string& input) {
    const std::string h = fmt::format("h.{}", layer);
    const double residual_deviation =
        config_.initializer_range / std::sqrt(2.0 * static_cast<double>(config_.layers));

    const std::string normed = layer_norm(h + ".ln_1", input);
    const std::string qkv = linear(h + ".attn.c_attn", normed, {config_.width, 3 * config_.width},
                                   config_.initializer_range);
    wire::Operator& attention = builder_.op(h + ".attn", "attention", {qkv});
    (*attention.mutable_attributes())["heads"].set_integer(config_.heads);
    (*attention.mutable_attributes())["rate"].set_real(config_.attention_dropout);
    std::string branch =
        linear(h + ".attn.c_proj", h + ".attn", {config_.width, config_.width}, residual_deviation);
    branch = dropout(h + ".attn.dropout", branch, config_.residual_dropout);
    builder_.op(h + ".attn.residual", "add", {input, branch});

    const std::string middle = layer_norm(h + ".ln_2", h + ".attn.residual");
    linear(h + ".mlp.c_fc", middle, {config_.width, config_.inner}, config_.initializer_range);
    activation(h + ".mlp.act", h + ".mlp.c_fc");
    branch = linear(h + ".mlp.c_proj", h + ".mlp.act", {config_.inner, config_.width},
                    residual_deviation);
    branch = dropout(h + ".mlp.dropout", branch, config_.residual_dropout);
    builder_.op(h + ".mlp.residual", "add", {h + ".attn.residual", branch});
    return h + ".mlp.residual";
  }

  void head(const std::string& hidden) {
    const std::string normed = layer_norm("ln_f", hidden);
    const std::string weight =
        config_.tied ? std::string(kTokenEmbedding)
                     : builder_.parameter("lm_head.weight", {config_.vocabulary, config_.width},
                                          normal(config_.initializer_range));
    wire::Operator& logits = builder_.op("lm_head", "linear", {normed}, {weight});
    (*logits.mutable_attributes())["layout"].set_text("out_in");
    builder_.op("loss", "cross_entropy", {"lm_head", "targets"});
    builder_.graph.set_logits("lm_head");
    builder_.graph.set_loss("loss");
  }

  std::string layer_norm(const std::string& id, const std::string& input) {
    const std::string weight =
        builder_.parameter(parameter_name(id, "weight"), {config_.width}, ones());
    const std::string bias =
        builder_.parameter(parameter_name(id, "bias"), {config_.width}, zeros());
    wire::Operator& op = builder_.op(id, "layer_norm", {input}, {weight, bias});
    (*op.mutable_attributes())["epsilon"].set_real(config_.epsilon);
    return id;
  }

  struct LinearShape {
    std::int64_t in;
    std::int64_t out;
  };
  std::string linear(const std::string& id, const std::string& input, LinearShape shape,
                     double standard_deviation) {
    const std::string weight = builder_.parameter(
        parameter_name(id, "weight"), {shape.in, shape.out}, normal(standard_deviation));
    const std::string bias = builder_.parameter(parameter_name(id, "bias"), {shape.out}, zeros());
    wire::Operator& op = builder_.op(id, "linear", {input}, {weight, bias});
    (*op.mutable_attributes())["layout"].set_text("in_out");
    return id;
  }

  void activation(const std::string& id, const std::string& input) {
    wire::Operator& op = builder_.op(id, config_.activation.kind, {input});
    if (!config_.activation.approximate.empty()) {
      (*op.mutable_attributes())["approximate"].set_text(config_.activation.approximate);
    }
  }

  std::string dropout(const std::string& id, const std::string& input, double rate) {
    if (rate == 0.0) return input;
    (*builder_.op(id, "dropout", {input}).mutable_attributes())["rate"].set_real(rate);
    return id;
  }

  static std::string parameter_name(const std::string& id, std::string_view part) {
    return fmt::format("transformer.{}.{}", id, part);
  }

  static constexpr const char* kTokenEmbedding = "transformer.wte.weight";

  Gpt2Config config_;
  GraphBuilder builder_;
};

}  // namespace

proto::Result<wire::Graph> gpt2_graph(std::string_view config_json, const Gpt2Options& options) {
  auto config = parse_gpt2_config(config_json);
  if (!config) return config.error();
  if (config->positions < static_cast<std::int64_t>(options.sequence_length)) {
    return proto::configuration_error(
        fmt::format("n_positions is {}, too few for sequences of {} tokens; lower "
                    "data.sequence_length or take a model with more positions",
                    config->positions, options.sequence_length));
  }
  if (options.layers) {
    config->layers =
        std::min(config->layers, static_cast<decltype(config->layers)>(*options.layers));
  }
  if (options.dropout) {
    config->embedding_dropout = *options.dropout;
    config->attention_dropout = *options.dropout;
    config->residual_dropout = *options.dropout;
  }
  wire::Graph graph = Gpt2Builder(std::move(*config)).build();
  graph.set_huggingface_config_json(std::string(config_json));
  return graph;
}

}  // namespace longhaul::daemon
