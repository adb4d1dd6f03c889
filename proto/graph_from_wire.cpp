// Checks a foreign graph message and turns it into a Graph: nothing behind this file meets a name
// that does not exist, an attribute out of range or a cycle.
#include "proto/graph.hpp"

#include "proto/graph_order.hpp"
#include "proto/operator_from_wire.hpp"
#include "proto/operator_registry.hpp"
#include "proto/refused.hpp"
#include "proto/text.hpp"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace longhaul::proto {
namespace {

constexpr int kMaximumDataInputs = 16;
constexpr int kMaximumRank = 8;
constexpr std::size_t kMaximumConfigBytes = std::size_t{1} << 20;
constexpr std::size_t kMaximumNamesInMessage = 12;

// Reads one message into one Graph; each step returns the first error. Operators keep the order of
// the message until `order` sorts them.
class Reader {
 public:
  explicit Reader(const wire::Graph& message) : message_(message) {}

  Result<Graph> read() {
    using Step = Result<void> (Reader::*)();
    for (const Step step : {&Reader::sizes, &Reader::data_inputs, &Reader::parameters,
                            &Reader::operators, &Reader::inputs, &Reader::order, &Reader::ends,
                            &Reader::everything_is_used}) {
      if (auto done = (this->*step)(); !done) return done.error();
    }
    return std::move(graph_);
  }

 private:
  Result<void> sizes() {
    if (!message_.name().empty()) {
      if (auto named = check_name("graph", message_.name()); !named) return named.error();
    }
    if (message_.operators().empty()) return refused("the graph has no operators");
    if (message_.operators_size() > kMaximumOperators) {
      return refused("the graph has {} operators; at most {} are allowed",
                     message_.operators_size(), kMaximumOperators);
    }
    if (message_.parameters_size() > kMaximumParameters) {
      return refused("the graph has {} parameters; at most {} are allowed",
                     message_.parameters_size(), kMaximumParameters);
    }
    if (message_.data_inputs_size() > kMaximumDataInputs) {
      return refused("the graph has {} data inputs; at most {} are allowed",
                     message_.data_inputs_size(), kMaximumDataInputs);
    }
    if (message_.huggingface_config_json().size() > kMaximumConfigBytes) {
      return refused("huggingface_config_json has {} bytes; at most {} are allowed",
                     message_.huggingface_config_json().size(), kMaximumConfigBytes);
    }
    graph_.name = message_.name();
    graph_.huggingface_config_json = message_.huggingface_config_json();
    return {};
  }

  Result<void> data_inputs() {
    for (const wire::DataInput& input : message_.data_inputs()) {
      if (auto named = check_name("data input", input.name()); !named) return named.error();
      if (!wire::DataInput::Kind_IsValid(input.kind())) {
        return refused("data input {} has the unknown kind {}; use TOKENS or TARGETS",
                       quoted(input.name()), static_cast<int>(input.kind()));
      }
      const ValueIndex value{static_cast<std::uint32_t>(graph_.data_inputs.size())};
      if (!values_.emplace(input.name(), value).second) {
        return refused("two data inputs have the name {}", quoted(input.name()));
      }
      graph_.data_inputs.push_back(
          {.name = input.name(), .targets = input.kind() == wire::DataInput::TARGETS});
    }
    return {};
  }

  Result<void> parameters() {
    graph_.parameters.reserve(static_cast<std::size_t>(message_.parameters_size()));
    for (const wire::Parameter& parameter : message_.parameters()) {
      if (auto named = check_name("parameter", parameter.name()); !named) return named.error();
      if (auto fit = check_parameter(parameter); !fit) {
        return with_context("parameter " + quoted(parameter.name()), fit.error());
      }
      const ParameterIndex index{static_cast<std::uint32_t>(graph_.parameters.size())};
      if (!parameters_.emplace(parameter.name(), index).second) {
        return refused("two parameters have the name {}", quoted(parameter.name()));
      }
      graph_.parameters.push_back(
          {.name = parameter.name(),
           .shape = Shape(parameter.shape().begin(), parameter.shape().end()),
           .initialisation = parameter.initialisation().kind(),
           .standard_deviation = parameter.initialisation().standard_deviation(),
           .weight_decay = parameter.weight_decay()});
    }
    return {};
  }

  static Result<void> check_parameter(const wire::Parameter& parameter) {
    if (parameter.shape().empty() || parameter.shape_size() > kMaximumRank) {
      return refused("has {} dimensions; 1 to {} are allowed", parameter.shape_size(),
                     kMaximumRank);
    }
    for (const std::int64_t extent : parameter.shape()) {
      if (extent <= 0 || extent > kMaximumElements) {
        return refused("has an extent of {}; 1 to {} are allowed", extent, kMaximumElements);
      }
    }
    if (element_count(Shape(parameter.shape().begin(), parameter.shape().end())) >
        kMaximumElements) {
      return refused("its shape [{}] has more than 2^40 elements",
                     fmt::join(parameter.shape(), ", "));
    }
    const wire::Initialisation& start = parameter.initialisation();
    if (!wire::Initialisation::Kind_IsValid(start.kind())) {
      return refused("has the unknown initialisation {}; use ZEROS, ONES or NORMAL",
                     static_cast<int>(start.kind()));
    }
    if (!std::isfinite(start.standard_deviation()) || start.standard_deviation() < 0.0) {
      return refused("has the standard deviation {}; it must be finite and not negative",
                     start.standard_deviation());
    }
    return {};
  }

  Result<void> operators() {
    graph_.operators.reserve(static_cast<std::size_t>(message_.operators_size()));
    for (const wire::Operator& op : message_.operators()) {
      if (auto named = check_name("operator", op.id()); !named) return named.error();
      auto read = operator_from_wire(op, parameters_);
      if (!read) return with_context("operator " + quoted(op.id()), read.error());
      const ValueIndex value{
          static_cast<std::uint32_t>(graph_.data_inputs.size() + graph_.operators.size())};
      if (!values_.emplace(op.id(), value).second) {
        return refused("two operators or data inputs have the name {}", quoted(op.id()));
      }
      graph_.operators.push_back(std::move(*read));
    }
    return {};
  }

  // Which values the operators read; possible only when every name is known.
  Result<void> inputs() {
    for (int i = 0; i < message_.operators_size(); ++i) {
      Operator& op = graph_.operators[static_cast<std::size_t>(i)];
      const OperatorRule& rule = operator_rule(op.kind);
      for (const std::string& name : message_.operators(i).inputs()) {
        const auto found = values_.find(name);
        if (found == values_.end()) {
          return refused("operator {}: its input {} is neither an operator nor a data input",
                         quoted(op.id), quoted(name));
        }
        const bool integers = static_cast<int>(op.inputs.size()) == rule.data_input;
        if (integers != graph_.is_data_input(found->second)) {
          return refused("operator {}: input {} of {} must be {}, and {} is {}", quoted(op.id),
                         op.inputs.size() + 1, rule.name,
                         integers ? "a data input" : "an operator's output", quoted(name),
                         integers ? "an operator's output" : "a data input");
        }
        op.inputs.push_back(found->second);
      }
    }
    return {};
  }

  Result<void> order() {
    const auto first = static_cast<std::uint32_t>(graph_.data_inputs.size());
    std::vector<std::vector<std::uint32_t>> reads(graph_.operators.size());
    for (std::size_t i = 0; i < reads.size(); ++i) {
      for (const ValueIndex input : graph_.operators[i].inputs) {
        if (input.value >= first) reads[i].push_back(input.value - first);
      }
    }
    const TopologicalOrder sorted = topological_order(reads);
    if (!sorted.cycle.empty()) return cycle_error(sorted.cycle);
    std::vector<std::uint32_t> place(reads.size());
    std::vector<Operator> operators(reads.size());
    for (std::uint32_t to = 0; to < sorted.order.size(); ++to) {
      place[sorted.order[to]] = to;
      operators[to] = std::move(graph_.operators[sorted.order[to]]);
    }
    for (Operator& op : operators) {
      for (ValueIndex& input : op.inputs) {
        if (input.value >= first) input = ValueIndex{first + place[input.value - first]};
      }
    }
    graph_.operators = std::move(operators);
    for (std::size_t i = 0; i < place.size(); ++i) {
      values_[message_.operators(static_cast<int>(i)).id()] = ValueIndex{first + place[i]};
    }
    return {};
  }

  Error cycle_error(const std::vector<std::uint32_t>& cycle) const {
    std::vector<std::string> names;
    for (std::size_t i = 0; i < std::min(cycle.size(), kMaximumNamesInMessage); ++i) {
      names.push_back(quoted(graph_.operators[cycle[i]].id));
    }
    if (cycle.size() > kMaximumNamesInMessage) {
      names.push_back(fmt::format("{} more", cycle.size() - kMaximumNamesInMessage));
    }
    names.push_back(names.front());
    return refused("the operators form a cycle: {}", fmt::join(names, " -> "));
  }

  // The operators that `loss` and `logits` name.
  Result<void> ends() {
    const auto loss = find("loss", message_.loss());
    if (!loss) return loss.error();
    graph_.loss = *loss;
    const Operator& op = graph_.operators[loss->value];
    if (op.kind != OperatorKind::kCrossEntropy) {
      return refused("loss {} is of kind {}; it must be a cross_entropy", quoted(op.id),
                     operator_name(op.kind));
    }
    if (message_.logits().empty()) return {};
    const auto logits = find("logits", message_.logits());
    if (!logits) return logits.error();
    graph_.logits = *logits;
    return {};
  }

  Result<OperatorIndex> find(std::string_view field, const std::string& name) const {
    if (name.empty()) return refused("{} must name an operator", field);
    const auto found = values_.find(name);
    if (found == values_.end() || graph_.is_data_input(found->second)) {
      return refused("{} names {}, which is no operator", field, quoted(name));
    }
    return graph_.operator_of(found->second);
  }

  // What does not lead to the loss would have no gradient.
  Result<void> everything_is_used() {
    std::vector<bool> values(graph_.data_inputs.size() + graph_.operators.size());
    std::vector<bool> parameters(graph_.parameters.size());
    values[graph_.value_of(graph_.loss).value] = true;
    for (std::size_t i = graph_.operators.size(); i-- > 0;) {
      const Operator& op = graph_.operators[i];
      if (!values[graph_.data_inputs.size() + i]) {
        return refused("operator {} does not lead to the loss {}; remove it", quoted(op.id),
                       quoted(graph_.operators[graph_.loss.value].id));
      }
      for (const ValueIndex input : op.inputs) values[input.value] = true;
      for (const ParameterIndex index : op.parameters) parameters[index.value] = true;
    }
    for (std::size_t i = 0; i < graph_.data_inputs.size(); ++i) {
      if (!values[i]) {
        return refused("no operator reads data input {}; remove it",
                       quoted(graph_.data_inputs[i].name));
      }
    }
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      if (!parameters[i]) {
        return refused("no operator uses parameter {}; remove it",
                       quoted(graph_.parameters[i].name));
      }
    }
    return {};
  }

  const wire::Graph& message_;
  Graph graph_;
  std::unordered_map<std::string, ValueIndex> values_;
  ParameterNames parameters_;
};

}  // namespace

Result<Graph> Graph::from_wire(const wire::Graph& message) { return Reader(message).read(); }

}  // namespace longhaul::proto
