// GPT-2's config.json: the graph that it becomes, and what is refused by name.
#include "daemon/configuration/gpt2.hpp"

#include "daemon/configuration/model_source.hpp"
#include "tests/unit/configuration/temporary_folder.hpp"

#include "proto/graph.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>

using namespace longhaul;
using namespace longhaul::daemon;
using longhaul::tests::TemporaryFolder;

namespace {

using Json = nlohmann::json;

Json small() {
  return {{"model_type", "gpt2"}, {"vocab_size", 50}, {"n_positions", 16},
          {"n_embd", 8},          {"n_layer", 2},     {"n_head", 2}};
}

proto::Result<wire::Graph> build(const Json& config, std::optional<double> dropout = std::nullopt) {
  return gpt2_graph(config.dump(), {.dropout = dropout, .sequence_length = 16});
}

std::string error_with(const char* key, const Json& value) {
  Json config = small();
  config[key] = value;
  const auto graph = build(config);
  return graph ? "no error" : graph.error().message;
}

const wire::Operator& op(const wire::Graph& graph, const std::string& id) {
  for (const auto& candidate : graph.operators()) {
    if (candidate.id() == id) return candidate;
  }
  FAIL("no operator " << id);
  return graph.operators(0);
}

const wire::Parameter& parameter(const wire::Graph& graph, const std::string& name) {
  for (const auto& candidate : graph.parameters()) {
    if (candidate.name() == name) return candidate;
  }
  FAIL("no parameter " << name);
  return graph.parameters(0);
}

// "id = kind(inputs; parameters)" per operator; the parameters' common "transformer." left out.
std::string listing(const wire::Graph& graph) {
  std::string text;
  for (const auto& o : graph.operators()) {
    std::vector<std::string> parameters;
    for (const std::string& name : o.parameters()) {
      constexpr std::string_view kPrefix = "transformer.";
      parameters.push_back(name.substr(name.starts_with(kPrefix) ? kPrefix.size() : 0));
    }
    text += fmt::format("{} = {}({}; {})\n", o.id(), o.kind(), fmt::join(o.inputs(), ", "),
                        fmt::join(parameters, ", "));
  }
  return text;
}

}  // namespace

TEST_CASE("gpt2: one layer is this graph") {
  Json config = small();
  config["n_layer"] = 1;
  CHECK(listing(build(config, 0.1).value()) ==
        R"(wte = embedding(tokens; wte.weight)
wpe = add_position(wte; wpe.weight)
embd.dropout = dropout(wpe; )
h.0.ln_1 = layer_norm(embd.dropout; h.0.ln_1.weight, h.0.ln_1.bias)
h.0.attn.c_attn = linear(h.0.ln_1; h.0.attn.c_attn.weight, h.0.attn.c_attn.bias)
h.0.attn = attention(h.0.attn.c_attn; )
h.0.attn.c_proj = linear(h.0.attn; h.0.attn.c_proj.weight, h.0.attn.c_proj.bias)
h.0.attn.dropout = dropout(h.0.attn.c_proj; )
h.0.attn.residual = add(embd.dropout, h.0.attn.dropout; )
h.0.ln_2 = layer_norm(h.0.attn.residual; h.0.ln_2.weight, h.0.ln_2.bias)
h.0.mlp.c_fc = linear(h.0.ln_2; h.0.mlp.c_fc.weight, h.0.mlp.c_fc.bias)
h.0.mlp.act = gelu(h.0.mlp.c_fc; )
h.0.mlp.c_proj = linear(h.0.mlp.act; h.0.mlp.c_proj.weight, h.0.mlp.c_proj.bias)
h.0.mlp.dropout = dropout(h.0.mlp.c_proj; )
h.0.mlp.residual = add(h.0.attn.residual, h.0.mlp.dropout; )
ln_f = layer_norm(h.0.mlp.residual; ln_f.weight, ln_f.bias)
lm_head = linear(ln_f; wte.weight)
loss = cross_entropy(lm_head, targets; )
)");
}

TEST_CASE("gpt2: the graph passes the peers' check and its shapes are right") {
  for (const double dropout : {0.0, 0.25}) {
    const auto message = build(small(), dropout);
    REQUIRE(message.has_value());
    const auto graph = proto::Graph::from_wire(*message);
    REQUIRE(graph.has_value());
    CHECK(graph->operators.size() == (dropout > 0.0 ? 30u : 25u));
    REQUIRE(graph->logits);
    const auto shapes = proto::infer_shapes(*graph, {.batch = 3, .sequence = 16});
    REQUIRE(shapes.has_value());
    CHECK(shapes->at(graph->value_of(*graph->logits).value) == proto::Shape{3, 16, 50});
    CHECK(shapes->at(graph->value_of(graph->loss).value) == proto::Shape{});
    std::int64_t parameters = 0;
    for (const auto& p : graph->parameters) parameters += p.elements();
    // wte, wpe, ln_f, and per layer 12 C^2 + 13 C.
    CHECK(parameters == 50 * 8 + 16 * 8 + 16 + 2 * (12 * 64 + 13 * 8));
  }
}

TEST_CASE("gpt2: parameters have transformers' shapes and starts; matrices decay") {
  Json config = small();
  config["initializer_range"] = 0.5;
  const auto graph = build(config).value();
  const auto check = [&](const std::string& name, std::vector<std::int64_t> shape, auto kind,
                         double deviation) {
    CAPTURE(name);
    const wire::Parameter& p = parameter(graph, "transformer." + name);
    CHECK(std::vector<std::int64_t>(p.shape().begin(), p.shape().end()) == shape);
    CHECK(p.initialisation().kind() == kind);
    CHECK(p.initialisation().standard_deviation() == doctest::Approx(deviation));
    CHECK(p.weight_decay() == (shape.size() == 2));
  };
  using Start = wire::Initialisation;
  const double residual = 0.5 / std::sqrt(4.0);  // two layers, two residual additions each
  check("wte.weight", {50, 8}, Start::NORMAL, 0.5);
  check("wpe.weight", {16, 8}, Start::NORMAL, 0.5);
  check("h.1.ln_1.weight", {8}, Start::ONES, 0.0);
  check("h.1.ln_1.bias", {8}, Start::ZEROS, 0.0);
  check("h.1.attn.c_attn.weight", {8, 24}, Start::NORMAL, 0.5);
  check("h.1.attn.c_attn.bias", {24}, Start::ZEROS, 0.0);
  check("h.1.attn.c_proj.weight", {8, 8}, Start::NORMAL, residual);
  check("h.1.mlp.c_fc.weight", {8, 32}, Start::NORMAL, 0.5);
  check("h.1.mlp.c_proj.weight", {32, 8}, Start::NORMAL, residual);
  check("ln_f.weight", {8}, Start::ONES, 0.0);
  CHECK(op(graph, "h.0.mlp.c_fc").attributes().at("layout").text() == "in_out");
  CHECK(op(graph, "lm_head").attributes().at("layout").text() == "out_in");
  CHECK(op(graph, "h.0.attn").attributes().at("heads").integer() == 2);
}

TEST_CASE("gpt2: the settings of the file arrive in the graph") {
  Json config = small();
  config.update({{"n_inner", 20},
                 {"layer_norm_epsilon", 1e-6},
                 {"tie_word_embeddings", false},
                 {"embd_pdrop", 0.0},
                 {"attn_pdrop", 0.2},
                 {"resid_pdrop", 0.3}});
  const auto graph = build(config).value();
  CHECK(parameter(graph, "transformer.h.0.mlp.c_fc.weight").shape(1) == 20);
  CHECK(op(graph, "ln_f").attributes().at("epsilon").real() == 1e-6);
  CHECK(op(graph, "lm_head").parameters(0) == "lm_head.weight");
  CHECK(parameter(graph, "lm_head.weight").shape(0) == 50);
  CHECK(op(graph, "h.0.ln_1").inputs(0) == "wpe");  // no dropout behind the embedding
  CHECK(op(graph, "h.0.attn").attributes().at("rate").real() == 0.2);
  CHECK(op(graph, "h.1.mlp.dropout").attributes().at("rate").real() == 0.3);
  CHECK(graph.huggingface_config_json() == config.dump());
}

TEST_CASE("gpt2: the job's dropout replaces all of the file's; the file's default is 0.1") {
  const auto by_default = build(small()).value();
  CHECK(op(by_default, "embd.dropout").attributes().at("rate").real() == 0.1);
  const auto replaced = build(small(), 0.25).value();
  CHECK(op(replaced, "embd.dropout").attributes().at("rate").real() == 0.25);
  CHECK(op(replaced, "h.1.attn").attributes().at("rate").real() == 0.25);
  CHECK(op(replaced, "h.0.attn.dropout").attributes().at("rate").real() == 0.25);
  const auto none = build(small(), 0.0).value();
  CHECK(listing(none).find("dropout") == std::string::npos);
  CHECK(op(none, "h.1.attn").attributes().at("rate").real() == 0.0);
}

TEST_CASE("gpt2: activation functions are operators of the registry") {
  const auto kind_of = [](const char* name) {
    Json config = small();
    config["activation_function"] = name;
    const auto built = build(config).value();
    const auto& activation = op(built, "h.0.mlp.act");
    const bool has = activation.attributes().contains("approximate");
    return activation.kind() + (has ? ":" + activation.attributes().at("approximate").text() : "");
  };
  CHECK(kind_of("gelu_new") == "gelu:tanh");
  CHECK(kind_of("gelu_fast") == "gelu:tanh");
  CHECK(kind_of("gelu_pytorch_tanh") == "gelu:tanh");
  CHECK(kind_of("gelu") == "gelu:none");
  CHECK(kind_of("relu") == "relu");
  CHECK(kind_of("silu") == "silu");
  CHECK(kind_of("swish") == "silu");
  CHECK(kind_of("tanh") == "tanh");
}

TEST_CASE("gpt2: transformers' other names for the sizes are known") {
  const Json config = {{"model_type", "gpt2"},          {"vocab_size", 50},
                       {"max_position_embeddings", 16}, {"hidden_size", 8},
                       {"num_hidden_layers", 2},        {"num_attention_heads", 2}};
  CHECK(listing(build(config).value()) == listing(build(small()).value()));
}

TEST_CASE("gpt2: what would change the mathematics is refused by name") {
  CHECK(error_with("scale_attn_weights", false) ==
        "scale_attn_weights is 'false', which is not supported; only 'true' is");
  for (const char* key : {"scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn",
                          "add_cross_attention", "is_encoder_decoder"}) {
    CHECK(error_with(key, true) ==
          fmt::format("{} is 'true', which is not supported; only 'false' is", key));
    CHECK(error_with(key, false) == "no error");
  }
  CHECK(error_with("pruned_heads", {{"0", {1}}}).starts_with("pruned_heads is "));
  CHECK(error_with("pruned_heads", Json::object()) == "no error");
  CHECK(error_with("quantization_config", {{"bits", 4}}).starts_with("quantization_config is "));
  CHECK(error_with("auto_map", {{"AutoModel", "x.y"}}).starts_with("auto_map is "));
  CHECK(error_with("activation_function", "mish") ==
        "activation_function 'mish' is not supported; use gelu_new, gelu, relu, silu or tanh");
  CHECK(error_with("model_type", "llama") == "model_type 'llama' is not supported; gpt2 is");
  CHECK(error_with("model_type", nullptr) ==
        "model_type is missing; gpt2 is the one that is supported");
}

TEST_CASE("gpt2: what transformers ignores is ignored") {
  CHECK(error_with("n_ctx", 7) == "no error");
  CHECK(error_with("summary_type", "cls_index") == "no error");
  CHECK(error_with("torch_dtype", "float16") == "no error");
}

TEST_CASE("gpt2: sizes and rates out of range are named") {
  CHECK(error_with("n_embd", nullptr) == "n_embd is missing");
  CHECK(error_with("n_layer", 0) == "n_layer is '0'; it must be an integer from 1 to 4096");
  CHECK(error_with("n_layer", 2.5) == "n_layer is '2.5'; it must be an integer from 1 to 4096");
  CHECK(error_with("vocab_size", "many") ==
        "vocab_size is '\"many\"'; it must be an integer from 1 to 16777216");
  CHECK(error_with("n_positions", -1).starts_with("n_positions is '-1'"));
  CHECK(error_with("n_positions", 18446744073709551615u).starts_with("n_positions is "));
  CHECK(error_with("n_head", 3) == "n_head must divide n_embd, but 3 does not divide 8");
  CHECK(error_with("attn_pdrop", 1.0) ==
        "attn_pdrop is '1.0'; it must be a number of at least 0 and less than 1");
  CHECK(error_with("layer_norm_epsilon", 0) ==
        "layer_norm_epsilon is '0'; it must be a number more than 0 and less than 1");
  CHECK(error_with("tie_word_embeddings", 1) ==
        "tie_word_embeddings is '1'; it must be true or false");
  CHECK(error_with("activation_function", 1) == "activation_function is '1'; it must be text");
  CHECK(error_with("n_positions", 15) ==
        "n_positions is 15, too few for sequences of 16 tokens; lower data.sequence_length or take "
        "a model with more positions");
}

TEST_CASE("gpt2: a file that is no JSON says where") {
  CHECK(gpt2_graph("{\"a\": }", {}).error().message == "not valid JSON at byte 7");
  CHECK(gpt2_graph("[]", {}).error().message == "not a JSON object");
  CHECK(gpt2_graph(std::string(200'000, '['), {}).error().message.starts_with("not valid JSON"));
}

TEST_CASE("model: errors begin with the file's name") {
  const TemporaryFolder folder;
  wire::Job job;
  CHECK(build_graph(job).error().message == "the job names no model; give config, from or graph");
  job.mutable_data()->set_sequence_length(16);
  job.mutable_training()->set_micro_batch(2);
  const auto error = [&] {
    const auto graph = build_graph(job);
    return graph ? "no error" : folder.shorten(graph.error().message);
  };
  job.mutable_model()->set_config((folder.path() / "none.json").string());
  CHECK(error() == "$/none.json: cannot be read: No such file or directory");
  job.mutable_model()->set_from(folder.path().string());
  folder.write("config.json", small().dump());
  CHECK(error() == "no error");
  job.mutable_data()->set_sequence_length(17);
  CHECK(error().starts_with("$/config.json: n_positions is 16, too few"));
  job.mutable_model()->set_graph(folder.write("g.json", "{\"operators\": [{}]}").string());
  CHECK(error().starts_with("$/g.json: "));
  folder.write("g.json", "{");
  CHECK(error().starts_with("$/g.json: not a graph in Protobuf JSON"));
}
