// Remote automatic differentiation, one stage's side of it.
#include "compnode/execution/shard.hpp"

#include "proto/assert.hpp"

#include <algorithm>
#include <iterator>
#include <set>

namespace longhaul::compnode {
namespace {

using proto::OperatorIndex;
using proto::ValueIndex;
using Values = std::unordered_map<ValueIndex, at::Tensor>;

// Adds a contribution to a value's gradient, in place where nobody else holds one of the two.
void accumulate(Values& gradients, ValueIndex value, at::Tensor contribution) {
  const auto [place, inserted] = gradients.try_emplace(value, contribution);
  if (inserted) return;
  const auto exclusive = [](const at::Tensor& tensor, std::size_t holders) {
    return tensor.use_count() == holders && tensor.storage().use_count() == 1;
  };
  at::Tensor& sum = place->second;
  if (exclusive(sum, 1)) {
    sum.add_(contribution);
  } else if (exclusive(contribution, 1)) {
    contribution.add_(sum);
    sum = std::move(contribution);
  } else {
    sum = sum.add(contribution);
  }
}

}  // namespace

Shard::Shard(const proto::Graph& graph, const proto::Plan& plan, proto::StageIndex stage,
             ParameterStore& parameters, at::ScalarType precision)
    : graph_(graph), parameters_(parameters), precision_(precision) {
  for (const OperatorIndex index : plan.stages[stage.value].operators) {
    nodes_.push_back({index, make_operator(graph.operators[index.value], index), false, {}});
    has_loss_ = has_loss_ || index == graph.loss;
  }
  find_boundaries();
  plan_releases();
}

void Shard::time_operators(std::span<OperatorTimes> times) {
  for (Node& node : nodes_) {
    node.op = timed(std::move(node.op), parameters_.device(), times[node.index.value]);
  }
}

void Shard::find_boundaries() {
  std::set<ValueIndex> made;
  for (const Node& node : nodes_) made.insert(graph_.value_of(node.index));
  std::set<ValueIndex> read;
  std::set<ValueIndex> read_elsewhere;
  auto own = nodes_.begin();  // both ascend
  for (std::uint32_t i = 0; i < graph_.operators.size(); ++i) {
    const bool mine = own != nodes_.end() && own->index.value == i;
    if (mine) ++own;
    for (const ValueIndex value : graph_.operators[i].inputs) {
      if (mine && !made.contains(value)) read.insert(value);
      if (!mine && made.contains(value)) read_elsewhere.insert(value);
    }
  }
  LONGHAUL_ASSERT(own == nodes_.end());
  inputs_.assign(read.begin(), read.end());
  outputs_.assign(read_elsewhere.begin(), read_elsewhere.end());
  std::copy_if(read.begin(), read.end(), std::back_inserter(differentiable_inputs_),
               [this](ValueIndex value) { return !graph_.is_data_input(value); });
}

void Shard::plan_releases() {
  std::unordered_map<ValueIndex, std::size_t> last_reader;
  std::unordered_map<ValueIndex, int> reads;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    for (const ValueIndex value : graph_.operators[nodes_[i].index.value].inputs) {
      last_reader[value] = i;
      ++reads[value];
    }
  }
  for (const auto& [value, reader] : last_reader) {
    if (!std::binary_search(outputs_.begin(), outputs_.end(), value)) {
      nodes_[reader].released_after.push_back(value);
    }
  }
  for (Node& node : nodes_) {
    const proto::Operator& op = graph_.operators[node.index.value];
    const ValueIndex first = op.inputs.front();
    // A linear's output is fresh memory that the linear itself does not keep.
    node.may_overwrite_input =
        !std::binary_search(inputs_.begin(), inputs_.end(), first) &&
        !std::binary_search(outputs_.begin(), outputs_.end(), first) && reads.at(first) == 1 &&
        graph_.operators[graph_.operator_of(first).value].kind == proto::OperatorKind::kLinear;
  }
}

std::vector<at::Tensor> Shard::parameters_of(const Node& node) {
  std::vector<at::Tensor> tensors;
  const at::ScalarType type = node.op->parameter_type(precision_);
  for (const proto::ParameterIndex index : graph_.operators[node.index.value].parameters) {
    tensors.push_back(parameters_.value(index, type));
  }
  return tensors;
}

at::Tensor Shard::run_node(const Node& node, const Values& values, ExecutionPoint point,
                           Kept* kept) {
  std::vector<at::Tensor> inputs;
  for (const ValueIndex value : graph_.operators[node.index.value].inputs) {
    inputs.push_back(values.at(value));
  }
  point.may_overwrite_input = node.may_overwrite_input;
  if (kept != nullptr) kept->point = point;
  return node.op->forward(inputs, parameters_of(node), point, kept);
}

Shard::Forward Shard::forward(proto::MicroBatchIndex micro_batch, const ExecutionPoint& point,
                              const std::vector<ValueTensor>& inputs, bool keep,
                              const Observer& observer) {
  Values values;
  for (const ValueTensor& input : inputs) values.emplace(input.value, input.tensor);
  InFlight* in_flight = nullptr;
  if (keep) {
    in_flight = &in_flight_[micro_batch];
    in_flight->kept.resize(nodes_.size());
    in_flight->output_gradients.resize(nodes_.size());
  }
  Forward result;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    at::Tensor out = run_node(node, values, point, keep ? &in_flight->kept[i] : nullptr);
    if (observer) observer(node.index, out);
    if (node.index == graph_.loss) result.loss = out;
    for (const ValueIndex value : node.released_after) values.erase(value);
    values.emplace(graph_.value_of(node.index), std::move(out));
  }
  for (const ValueIndex value : outputs_) result.outputs.push_back({value, values.at(value)});
  return result;
}

at::Tensor Shard::evaluate(OperatorIndex target, const std::vector<ValueTensor>& inputs) {
  Values values;
  for (const ValueTensor& input : inputs) values.emplace(input.value, input.tensor);
  ExecutionPoint point;
  point.training = false;
  for (const Node& node : nodes_) {
    at::Tensor out = run_node(node, values, point, nullptr);
    if (node.index == target) return out;
    for (const ValueIndex value : node.released_after) values.erase(value);
    values.emplace(graph_.value_of(node.index), std::move(out));
  }
  LONGHAUL_ASSERT(false);
  return {};
}

std::vector<ValueTensor> Shard::backward_input(proto::MicroBatchIndex micro_batch,
                                               const std::vector<ValueTensor>& output_gradients,
                                               double loss_gradient) {
  InFlight& in_flight = in_flight_.at(micro_batch);
  Values gradients;
  for (const ValueTensor& gradient : output_gradients) {
    accumulate(gradients, gradient.value, gradient.tensor);
  }
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    const Node& node = nodes_[i];
    const proto::Operator& op = graph_.operators[node.index.value];
    at::Tensor output_gradient;
    if (node.index == graph_.loss) {
      output_gradient = at::full({}, loss_gradient, at::kFloat);
    } else if (auto found = gradients.extract(graph_.value_of(node.index)); !found.empty()) {
      output_gradient = std::move(found.mapped());
    }
    if (!output_gradient.defined()) continue;  // nothing downstream depends on it
    auto input_gradients =
        node.op->backward_input(output_gradient, parameters_of(node), in_flight.kept[i]);
    for (std::size_t k = 0; k < op.inputs.size(); ++k) {
      if (!input_gradients[k].defined() || graph_.is_data_input(op.inputs[k])) continue;
      accumulate(gradients, op.inputs[k], std::move(input_gradients[k]));
    }
    if (differentiable_inputs_.empty()) {
      weight_gradients(node, output_gradient, in_flight.kept[i]);
      in_flight.kept[i] = {};
    } else if (op.parameters.empty()) {
      in_flight.kept[i] = {};
    } else {
      in_flight.output_gradients[i] = std::move(output_gradient);
    }
  }
  std::vector<ValueTensor> result;
  for (const ValueIndex value : differentiable_inputs_) {
    const auto found = gradients.find(value);
    LONGHAUL_ASSERT(found != gradients.end());
    result.push_back({value, found->second.contiguous()});
  }
  return result;
}

void Shard::weight_gradients(const Node& node, const at::Tensor& output_gradient, Kept& kept) {
  const proto::Operator& op = graph_.operators[node.index.value];
  if (op.parameters.empty()) return;
  std::vector<at::Tensor> buffers;
  for (const proto::ParameterIndex index : op.parameters) {
    buffers.push_back(parameters_.gradient(index, node.index));
  }
  node.op->backward_weight(output_gradient, parameters_of(node), kept, buffers);
}

void Shard::backward_weight(proto::MicroBatchIndex micro_batch) {
  auto in_flight = in_flight_.extract(micro_batch);
  LONGHAUL_ASSERT(!in_flight.empty());
  InFlight& state = in_flight.mapped();
  for (std::size_t i = nodes_.size(); i-- > 0;) {
    if (!state.output_gradients[i].defined()) continue;
    weight_gradients(nodes_[i], state.output_gradients[i], state.kept[i]);
    state.output_gradients[i].reset();
    state.kept[i] = {};
  }
}

}  // namespace longhaul::compnode
