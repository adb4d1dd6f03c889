// The graphs' construction.
#include "tests/unit/sample_graphs.hpp"

#include <algorithm>
#include <random>
#include <vector>

namespace longhaul::tests {

GraphBuilder::GraphBuilder() {
  message.add_data_inputs()->set_name("tokens");
  message.add_data_inputs()->set_name("targets");
  message.mutable_data_inputs(1)->set_kind(wire::DataInput::TARGETS);
}

void GraphBuilder::parameter(const std::string& name, std::initializer_list<std::int64_t> shape) {
  wire::Parameter& parameter = *message.add_parameters();
  parameter.set_name(name);
  for (const std::int64_t extent : shape) parameter.add_shape(extent);
  parameter.mutable_initialisation()->set_kind(wire::Initialisation::NORMAL);
  parameter.mutable_initialisation()->set_standard_deviation(0.02);
  parameter.set_weight_decay(shape.size() > 1);
}

wire::Operator& GraphBuilder::add(const std::string& id, const std::string& kind,
                                  std::initializer_list<std::string> inputs,
                                  std::initializer_list<std::string> parameters) {
  wire::Operator& op = *message.add_operators();
  op.set_id(id);
  op.set_kind(kind);
  for (const std::string& input : inputs) op.add_inputs(input);
  for (const std::string& name : parameters) op.add_parameters(name);
  return op;
}

void GraphBuilder::loss(const std::string& logits) {
  add("loss", "cross_entropy", {logits, "targets"});
  message.set_loss("loss");
  message.set_logits(logits);
}

namespace {

void set_rate(wire::Operator& op, double rate) {
  (*op.mutable_attributes())["rate"].set_real(rate);
}

void add_block(GraphBuilder& graph, const Gpt2Shape& shape, const std::string& prefix,
               const std::string& input) {
  const std::int64_t width = shape.width;
  const auto name = [&](const char* tail) { return prefix + tail; };
  graph.parameter(name("ln_1.weight"), {width});
  graph.parameter(name("ln_1.bias"), {width});
  graph.parameter(name("c_attn.weight"), {width, 3 * width});
  graph.parameter(name("c_attn.bias"), {3 * width});
  graph.parameter(name("c_proj.weight"), {width, width});
  graph.parameter(name("c_proj.bias"), {width});
  graph.parameter(name("ln_2.weight"), {width});
  graph.parameter(name("ln_2.bias"), {width});
  graph.parameter(name("c_fc.weight"), {width, 4 * width});
  graph.parameter(name("c_fc.bias"), {4 * width});
  graph.parameter(name("mlp.weight"), {4 * width, width});
  graph.parameter(name("mlp.bias"), {width});
  const auto linear = [&](const char* id, const std::string& from, const char* stem) {
    wire::Operator& op = graph.add(name(id), "linear", {from},
                                   {name(stem) + ".weight", name(stem) + ".bias"});
    (*op.mutable_attributes())["layout"].set_text("in_out");
  };
  graph.add(name("ln_1"), "layer_norm", {input}, {name("ln_1.weight"), name("ln_1.bias")});
  linear("qkv", name("ln_1"), "c_attn");
  wire::Operator& attention = graph.add(name("attention"), "attention", {name("qkv")});
  (*attention.mutable_attributes())["heads"].set_integer(shape.heads);
  set_rate(attention, shape.dropout);
  linear("projection", name("attention"), "c_proj");
  set_rate(graph.add(name("drop_1"), "dropout", {name("projection")}), shape.dropout);
  graph.add(name("add_1"), "add", {input, name("drop_1")});
  graph.add(name("ln_2"), "layer_norm", {name("add_1")},
            {name("ln_2.weight"), name("ln_2.bias")});
  linear("fc", name("ln_2"), "c_fc");
  graph.add(name("gelu"), "gelu", {name("fc")});
  linear("mlp", name("gelu"), "mlp");
  set_rate(graph.add(name("drop_2"), "dropout", {name("mlp")}), shape.dropout);
  graph.add(name("add_2"), "add", {name("add_1"), name("drop_2")});
}

}  // namespace

wire::Graph gpt2_graph(const Gpt2Shape& shape) {
  GraphBuilder graph;
  graph.message.set_name("gpt2");
  graph.parameter("wte.weight", {shape.vocabulary, shape.width});
  graph.parameter("wpe.weight", {shape.positions, shape.width});
  graph.parameter("ln_f.weight", {shape.width});
  graph.parameter("ln_f.bias", {shape.width});
  graph.add("wte", "embedding", {"tokens"}, {"wte.weight"});
  graph.add("wpe", "add_position", {"wte"}, {"wpe.weight"});
  set_rate(graph.add("drop", "dropout", {"wpe"}), shape.dropout);
  std::string last = "drop";
  for (std::int64_t layer = 0; layer < shape.layers; ++layer) {
    const std::string prefix = "h." + std::to_string(layer) + ".";
    add_block(graph, shape, prefix, last);
    last = prefix + "add_2";
  }
  graph.add("ln_f", "layer_norm", {last}, {"ln_f.weight", "ln_f.bias"});
  graph.add("lm_head", "linear", {"ln_f"}, {"wte.weight"});
  graph.loss("lm_head");
  return graph.message;
}

namespace {

constexpr std::int64_t kWidth = 6;

// Adds one random operator that reads one or two of `open`, the values that nobody read yet, or
// now and then an older value, and puts its own in their place.
class RandomGraph {
 public:
  explicit RandomGraph(std::uint64_t seed) : random_(seed) {
    graph_.parameter("embedding", {11, kWidth});
    graph_.parameter("position", {64, kWidth});
    graph_.parameter("scale", {kWidth});
    graph_.parameter("shift", {kWidth});
    graph_.parameter("square", {kWidth, kWidth});
    graph_.parameter("wide", {3 * kWidth, kWidth});
    graph_.add("embed", "embedding", {"tokens"}, {"embedding"});
    graph_.add("place", "add_position", {"embed"}, {"position"});
    graph_.add("norm", "layer_norm", {"place"}, {"scale", "shift"});
    graph_.add("first", "linear", {"norm"}, {"square"});
    graph_.add("qkv", "linear", {"norm"}, {"wide"});
    wire::Operator& attention = graph_.add("attend", "attention", {"qkv"});
    (*attention.mutable_attributes())["heads"].set_integer(3);
    set_rate(attention, 0.2);
    open_ = {"first", "attend"};
    all_ = {"embed", "place", "norm", "first", "attend"};
  }

  void grow() {
    const std::string id = "op" + std::to_string(graph_.message.operators_size());
    static const std::vector<std::string> kUnary{"gelu", "relu", "silu", "tanh", "sigmoid"};
    switch (below(7)) {
      case 0:
        graph_.add(id, "layer_norm", {next()}, {"scale", "shift"});
        break;
      case 1:
        graph_.add(id, "linear", {next()}, {"square"});
        break;
      case 2:
        graph_.add(id, "add", {next(), any()});
        break;
      case 3:
        graph_.add(id, "multiply", {next(), any()});
        break;
      case 4:
        set_rate(graph_.add(id, "dropout", {next()}), below(2) == 0 ? 0.0 : 0.1);
        break;
      default:
        graph_.add(id, kUnary[below(kUnary.size())], {next()});
    }
    open_.push_back(id);
    all_.push_back(id);
  }

  wire::Graph finish() {
    while (open_.size() > 1) {
      const std::string id = "join" + std::to_string(graph_.message.operators_size());
      const std::string left = next();
      graph_.add(id, "add", {left, next()});
      open_.push_back(id);
    }
    const std::string last = next();
    if (below(2) == 0) {
      graph_.add("head", "linear", {last}, {"embedding"});
      graph_.loss("head");
    } else {
      graph_.loss(last);
    }
    return std::move(graph_.message);
  }

 private:
  std::size_t below(std::size_t bound) { return random_() % bound; }
  const std::string& any() { return all_[below(all_.size())]; }
  std::string next() {
    const std::size_t i = below(open_.size());
    std::string id = open_[i];
    open_.erase(open_.begin() + static_cast<std::ptrdiff_t>(i));
    if (open_.empty() && below(2) == 0) open_.push_back(any());
    return id;
  }

  std::mt19937_64 random_;
  GraphBuilder graph_;
  std::vector<std::string> open_;
  std::vector<std::string> all_;
};

}  // namespace

wire::Graph random_graph(std::uint64_t seed, int operators) {
  RandomGraph graph(seed);
  for (int i = 0; i < operators; ++i) graph.grow();
  return graph.finish();
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

}  // namespace longhaul::tests
