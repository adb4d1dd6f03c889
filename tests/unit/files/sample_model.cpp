// Builds the sample graph out of a wire graph, as a peer would send it.
#include "tests/unit/files/sample_model.hpp"

#include <fmt/format.h>

namespace longhaul::compnode::test {
namespace {

class Builder {
 public:
  void parameter(const std::string& name, std::initializer_list<std::int64_t> shape) {
    auto& added = *graph_.add_parameters();
    added.set_name(name);
    added.mutable_shape()->Assign(shape.begin(), shape.end());
    added.mutable_initialisation()->set_kind(wire::Initialisation::ZEROS);
  }

  wire::Operator& op(const std::string& id, const std::string& kind,
                     std::initializer_list<std::string> inputs,
                     std::initializer_list<std::string> parameters) {
    auto& added = *graph_.add_operators();
    added.set_id(id);
    added.set_kind(kind);
    for (const auto& input : inputs) added.add_inputs(input);
    for (const auto& parameter : parameters) added.add_parameters(parameter);
    return added;
  }

  wire::Graph& graph() { return graph_; }

 private:
  wire::Graph graph_;
};

}  // namespace

proto::Graph sample_graph(std::int64_t width, bool tied) {
  constexpr std::int64_t kVocabulary = 11;
  Builder builder;
  wire::Graph& graph = builder.graph();
  graph.set_name("sample");
  for (const auto kind : {wire::DataInput::TOKENS, wire::DataInput::TARGETS}) {
    auto& input = *graph.add_data_inputs();
    input.set_name(kind == wire::DataInput::TOKENS ? "tokens" : "targets");
    input.set_kind(kind);
  }
  builder.parameter("transformer.wte.weight", {kVocabulary, width});
  builder.parameter("transformer.wpe.weight", {8, width});
  builder.parameter("transformer.h.0.ln_1.weight", {width});
  builder.parameter("transformer.h.0.ln_1.bias", {width});
  builder.parameter("transformer.h.0.attn.c_attn.weight", {width, 3 * width});
  builder.parameter("transformer.h.0.attn.c_attn.bias", {3 * width});
  if (!tied) builder.parameter("lm_head.weight", {kVocabulary, width});
  builder.op("wte", "embedding", {"tokens"}, {"transformer.wte.weight"});
  builder.op("wpe", "add_position", {"wte"}, {"transformer.wpe.weight"});
  builder.op("ln_1", "layer_norm", {"wpe"},
             {"transformer.h.0.ln_1.weight", "transformer.h.0.ln_1.bias"});
  auto& projection =
      builder.op("c_attn", "linear", {"ln_1"},
                 {"transformer.h.0.attn.c_attn.weight", "transformer.h.0.attn.c_attn.bias"});
  (*projection.mutable_attributes())["layout"].set_text("in_out");
  auto& attention = builder.op("attn", "attention", {"c_attn"}, {});
  (*attention.mutable_attributes())["heads"].set_integer(2);
  (*attention.mutable_attributes())["rate"].set_real(0.1);
  builder.op("lm_head", "linear", {"attn"}, {tied ? "transformer.wte.weight" : "lm_head.weight"});
  builder.op("loss", "cross_entropy", {"lm_head", "targets"}, {});
  graph.set_loss("loss");
  graph.set_logits("lm_head");
  graph.set_huggingface_config_json(fmt::format(
      R"({{"model_type": "gpt2", "vocab_size": {}, "n_positions": 8, "n_embd": {}, "n_layer": 1,
          "n_head": 2, "bos_token_id": 10, "eos_token_id": 10, "resid_pdrop": 0.0}})",
      kVocabulary, width));
  return proto::Graph::from_wire(graph).value();
}

std::vector<float> sample_values(const std::string& name, std::int64_t elements, float offset) {
  std::uint64_t sum = 0;
  for (const char c : name) sum += static_cast<unsigned char>(c);
  std::vector<float> values(static_cast<std::size_t>(elements));
  for (std::size_t i = 0; i < values.size(); ++i) {
    values[i] = static_cast<float>((sum + 7 * i) % 1000) / 8.0F + offset;
  }
  return values;
}

SampleWeights::SampleWeights(const proto::Graph& graph, float offset) {
  for (const proto::Parameter& parameter : graph.parameters) {
    values_.push_back(sample_values(parameter.name, parameter.elements(), offset));
  }
  for (std::size_t i = 0; i < values_.size(); ++i) {
    tensors_.push_back(
        {graph.parameters[i].name, f32_view(graph.parameters[i].shape, values_[i])});
  }
}

}  // namespace longhaul::compnode::test
