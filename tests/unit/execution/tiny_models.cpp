// Builds wire graphs by hand, so that the executor is tested without any front end.
#include "tests/unit/execution/tiny_models.hpp"

namespace longhaul::compnode::testing {
namespace {

class Builder {
 public:
  explicit Builder(const TinyGpt& size) : size_(size) {}

  wire::Graph build() {
    const int c = size_.width;
    add_data("tokens", wire::DataInput::TOKENS);
    add_data("targets", wire::DataInput::TARGETS);
    parameter("wte", {size_.vocabulary, c}, wire::Initialisation::NORMAL);
    parameter("wpe", {size_.positions, c}, wire::Initialisation::NORMAL);
    std::string x = op("embed", "embedding", {"tokens"}, {"wte"});
    x = op("positions", "add_position", {x}, {"wpe"});
    x = dropout("drop", x);
    for (int layer = 0; layer < size_.layers; ++layer) x = block("h." + std::to_string(layer), x);
    x = layer_norm("ln_f", x);
    op("lm_head", "linear", {x}, {"wte"});
    op("loss", "cross_entropy", {"lm_head", "targets"}, {});
    graph_.set_loss("loss");
    graph_.set_logits("lm_head");
    graph_.set_name("tiny");
    return graph_;
  }

 private:
  void add_data(const std::string& name, wire::DataInput::Kind kind) {
    auto* input = graph_.add_data_inputs();
    input->set_name(name);
    input->set_kind(kind);
  }

  void parameter(const std::string& name, std::vector<int> shape, wire::Initialisation::Kind kind) {
    auto* added = graph_.add_parameters();
    added->set_name(name);
    for (const int extent : shape) added->add_shape(extent);
    added->mutable_initialisation()->set_kind(kind);
    added->mutable_initialisation()->set_standard_deviation(0.08);
    added->set_weight_decay(shape.size() > 1);
  }

  std::string op(const std::string& id, const std::string& kind, std::vector<std::string> inputs,
                 std::vector<std::string> parameters) {
    auto* added = graph_.add_operators();
    added->set_id(id);
    added->set_kind(kind);
    for (const auto& input : inputs) added->add_inputs(input);
    for (const auto& name : parameters) added->add_parameters(name);
    return id;
  }

  wire::Attribute& attribute(const std::string& name) {
    return (*graph_.mutable_operators()->rbegin()->mutable_attributes())[name];
  }

  std::string dropout(const std::string& id, const std::string& input) {
    op(id, "dropout", {input}, {});
    attribute("rate").set_real(size_.dropout);
    return id;
  }

  std::string layer_norm(const std::string& id, const std::string& input) {
    parameter(id + ".weight", {size_.width}, wire::Initialisation::ONES);
    parameter(id + ".bias", {size_.width}, wire::Initialisation::ZEROS);
    return op(id, "layer_norm", {input}, {id + ".weight", id + ".bias"});
  }

  std::string linear(const std::string& id, const std::string& input, std::vector<int> shape) {
    parameter(id + ".weight", shape, wire::Initialisation::NORMAL);
    parameter(id + ".bias", {shape[1]}, wire::Initialisation::ZEROS);
    op(id, "linear", {input}, {id + ".weight", id + ".bias"});
    attribute("layout").set_text("in_out");
    return id;
  }

  std::string block(const std::string& name, const std::string& x) {
    const int c = size_.width;
    std::string y = layer_norm(name + ".ln_1", x);
    y = linear(name + ".c_attn", y, {c, 3 * c});
    op(name + ".attn", "attention", {y}, {});
    attribute("heads").set_integer(size_.heads);
    attribute("rate").set_real(size_.dropout);
    y = linear(name + ".attn.c_proj", name + ".attn", {c, c});
    y = dropout(name + ".attn.drop", y);
    const std::string middle = op(name + ".add_1", "add", {x, y}, {});
    y = layer_norm(name + ".ln_2", middle);
    y = linear(name + ".c_fc", y, {c, 4 * c});
    op(name + ".gelu", "gelu", {y}, {});
    y = linear(name + ".c_proj", name + ".gelu", {4 * c, c});
    y = dropout(name + ".mlp.drop", y);
    return op(name + ".add_2", "add", {middle, y}, {});
  }

  TinyGpt size_;
  wire::Graph graph_;
};

}  // namespace

proto::Graph tiny_gpt(const TinyGpt& size) {
  return proto::Graph::from_wire(Builder(size).build()).value();
}

proto::Plan plan_cut_after(const proto::Graph& graph,
                           const std::vector<std::string>& last_operators) {
  proto::Plan plan;
  plan.schedule = proto::ScheduleKind::kOneForwardOneBackward;
  plan.micro_batches = 4;
  plan.micro_batch_size = 2;
  plan.stages.emplace_back();
  std::size_t cut = 0;
  for (std::uint32_t i = 0; i < graph.operators.size(); ++i) {
    proto::Stage& stage = plan.stages.back();
    stage.node = "node-" + std::to_string(plan.stages.size());
    stage.device = "cpu";
    stage.has_data = true;
    stage.operators.push_back(proto::OperatorIndex{i});
    if (cut < last_operators.size() && graph.operators[i].id == last_operators[cut]) {
      plan.stages.emplace_back();
      ++cut;
    }
  }
  return plan;
}

}  // namespace longhaul::compnode::testing
