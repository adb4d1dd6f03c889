// Shape inference, operator by operator.
#include "proto/graph.hpp"

#include "proto/operator_registry.hpp"
#include "proto/text.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

namespace longhaul::proto {
namespace {

std::string text(const Shape& shape) { return fmt::format("[{}]", fmt::join(shape, ", ")); }

// Finds the output shape of one operator; errors lack the operator's name.
class Inference {
 public:
  Inference(const Graph& graph, const Operator& op, const std::vector<Shape>& values)
      : graph_(graph), op_(op), values_(values) {}

  Result<Shape> output() const {
    switch (op_.kind) {
      case OperatorKind::kEmbedding:
        return embedding();
      case OperatorKind::kAddPosition:
        return add_position();
      case OperatorKind::kLayerNorm:
        return layer_norm();
      case OperatorKind::kLinear:
        return linear();
      case OperatorKind::kAttention:
        return attention();
      case OperatorKind::kAdd:
      case OperatorKind::kMultiply:
        return same_inputs();
      case OperatorKind::kCausalConv1d:
        return causal_conv1d();
      case OperatorKind::kCrossEntropy:
        return cross_entropy();
      case OperatorKind::kGelu:
      case OperatorKind::kRelu:
      case OperatorKind::kSilu:
      case OperatorKind::kTanh:
      case OperatorKind::kSigmoid:
        return input(0);
      case OperatorKind::kDropout:
        return dropout();
    }
    return configuration_error("unknown kind");
  }

 private:
  const Shape& input(std::size_t i) const { return values_[op_.inputs[i].value]; }
  const Parameter& parameter(std::size_t i) const {
    return graph_.parameters[op_.parameters[i].value];
  }

  Error wrong_input(std::size_t i, std::string_view expected) const {
    return configuration_error(fmt::format("its input {} has the shape {}; {} needs {}",
                                           quoted(graph_.value_name(op_.inputs[i])),
                                           text(input(i)), operator_name(op_.kind), expected));
  }
  Error wrong_parameter(std::size_t i, std::string_view expected) const {
    return configuration_error(fmt::format(
        "parameter {} has the shape {}; an input of shape {} needs {}",
        quoted(parameter(i).name), text(parameter(i).shape), text(input(0)), expected));
  }

  Result<Shape> embedding() const {
    if (parameter(0).shape.size() != 2) return wrong_parameter(0, "[vocabulary, width]");
    return Shape{input(0)[0], input(0)[1], parameter(0).shape[1]};
  }

  Result<Shape> add_position() const {
    const Shape& in = input(0);
    if (in.size() != 3) return wrong_input(0, "[batch, sequence, width]");
    const Shape& weight = parameter(0).shape;
    if (weight.size() != 2 || weight[1] != in[2] || weight[0] < in[1]) {
      return wrong_parameter(0, fmt::format("[at least {}, {}]", in[1], in[2]));
    }
    return in;
  }

  Result<Shape> layer_norm() const {
    const Shape& in = input(0);
    if (in.empty()) return wrong_input(0, "[..., width]");
    for (std::size_t i = 0; i < 2; ++i) {
      if (parameter(i).shape != Shape{in.back()}) {
        return wrong_parameter(i, text({in.back()}));
      }
    }
    return in;
  }

  Result<Shape> with_optional_bias(Shape out, std::int64_t features) const {
    if (op_.parameters.size() == 2 && parameter(1).shape != Shape{features}) {
      return wrong_parameter(1, text({features}));
    }
    out.back() = features;
    return out;
  }

  Result<Shape> linear() const {
    const Shape& in = input(0);
    if (in.empty()) return wrong_input(0, "[..., features]");
    const Shape& weight = parameter(0).shape;
    const std::size_t in_axis = op_.weight_is_in_out ? 0 : 1;
    if (weight.size() != 2 || weight[in_axis] != in.back()) {
      return wrong_parameter(0, op_.weight_is_in_out
                                    ? fmt::format("[{}, any] (layout in_out)", in.back())
                                    : fmt::format("[any, {}] (layout out_in)", in.back()));
    }
    return with_optional_bias(in, weight[1 - in_axis]);
  }

  Result<Shape> attention() const {
    const Shape& in = input(0);
    if (in.size() != 3 || in[2] % 3 != 0) {
      return wrong_input(0, "[batch, sequence, 3 * width]");
    }
    const std::int64_t width = in[2] / 3;
    if (width % op_.heads != 0) {
      return configuration_error(
          fmt::format("its {} heads do not divide the width {} (input {} has the shape {})",
                      op_.heads, width, quoted(graph_.value_name(op_.inputs[0])), text(in)));
    }
    if (element_count(std::array{in[0], op_.heads, in[1], in[1]}) > kMaximumElements) {
      return configuration_error(
          fmt::format("its probabilities [{0}, {1}, {2}, {2}] have more than 2^40 elements",
                      in[0], op_.heads, in[1]));
    }
    if (auto fits = can_drop({in[0], op_.heads, in[1], in[1]}); !fits) return fits.error();
    return Shape{in[0], in[1], width};
  }

  Result<Shape> dropout() const {
    if (auto fits = can_drop(input(0)); !fits) return fits.error();
    return input(0);
  }

  Result<void> can_drop(const Shape& dropped) const {
    if (op_.rate == 0.0) return {};
    if (element_count(dropped) / dropped[0] <= kMaximumDroppedElements) return {};
    return configuration_error(
        fmt::format("its dropout would draw {} with more than 2^32 - 1 elements per sequence; use "
                    "rate 0 or a shorter sequence",
                    text(dropped)));
  }

  Result<Shape> same_inputs() const {
    if (input(0) != input(1)) {
      return configuration_error(fmt::format(
          "its inputs {} and {} have the shapes {} and {}; {} needs one shape",
          quoted(graph_.value_name(op_.inputs[0])), quoted(graph_.value_name(op_.inputs[1])),
          text(input(0)), text(input(1)), operator_name(op_.kind)));
    }
    return input(0);
  }

  Result<Shape> causal_conv1d() const {
    const Shape& in = input(0);
    if (in.size() != 3) return wrong_input(0, "[batch, sequence, channels]");
    const Shape& weight = parameter(0).shape;
    if (weight.size() != 3 || weight[1] != in[2]) {
      return wrong_parameter(0, fmt::format("[any, {}, any]", in[2]));
    }
    if (element_count(std::array{in[0], in[2], in[1] + weight[2] - 1}) > kMaximumElements) {
      return configuration_error(fmt::format(
          "its padded input [{}, {}, {}] has more than 2^40 elements", in[0], in[2],
          in[1] + weight[2] - 1));
    }
    return with_optional_bias(in, weight[0]);
  }

  Result<Shape> cross_entropy() const {
    const Shape& logits = input(0);
    const Shape& targets = input(1);
    if (logits.size() != 3 || logits[0] != targets[0] || logits[1] != targets[1]) {
      return wrong_input(0, fmt::format("[{}, {}, vocabulary]", targets[0], targets[1]));
    }
    return Shape{};
  }

  const Graph& graph_;
  const Operator& op_;
  const std::vector<Shape>& values_;
};

}  // namespace

Result<std::vector<Shape>> infer_shapes(const Graph& graph, ShapeBinding binding) {
  const Shape data{binding.batch, binding.sequence};
  if (binding.batch < 1 || binding.sequence < 1 || element_count(data) > kMaximumElements) {
    return configuration_error(
        fmt::format("micro-batch {} times sequence {} is out of range: at least 1, at most 2^40 "
                    "tokens",
                    binding.batch, binding.sequence));
  }
  std::vector<Shape> values(graph.data_inputs.size(), data);
  values.reserve(graph.data_inputs.size() + graph.operators.size());
  for (const Operator& op : graph.operators) {
    auto output = Inference(graph, op, values).output();
    if (!output) return with_context("operator " + quoted(op.id), output.error());
    if (element_count(*output) > kMaximumElements) {
      return configuration_error(
          fmt::format("operator {}: its output {} has more than 2^40 elements", quoted(op.id),
                      text(*output)));
    }
    values.push_back(std::move(*output));
  }
  return values;
}

}  // namespace longhaul::proto
