// Counted stand-ins for tensors, and the worker's order of making and dropping them.
#include "scheduler/memory_walk.hpp"

#include "proto/assert.hpp"
#include "proto/saved_values.hpp"
#include "scheduler/operator_costs.hpp"
#include "scheduler/operator_workspace.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <unordered_map>
#include <vector>

namespace longhaul::scheduler {
namespace {

using proto::Operator;
using proto::OperatorIndex;
using proto::OperatorKind;
using proto::ValueIndex;

// Bytes alive now, and the most since the last reset.
struct Meter {
  std::int64_t now = 0;
  std::int64_t peak = 0;

  void add(std::int64_t bytes) { peak = std::max(peak, now += bytes); }
  void restart() { peak = now; }
};

// A tensor's memory: counted from its construction to the end of its last holder.
class Memory {
 public:
  Memory(Meter& meter, std::int64_t bytes) : meter_(meter), bytes_(bytes) { meter_.add(bytes); }
  ~Memory() { meter_.now -= bytes_; }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

 private:
  Meter& meter_;
  std::int64_t bytes_;
};
using Tensor = std::shared_ptr<Memory>;
using Tensors = std::unordered_map<ValueIndex, Tensor>;

class Walk {
 public:
  Walk(const proto::Graph& graph, const proto::Plan& plan, proto::StageIndex stage,
       std::span<const proto::Shape> shapes, proto::Precision precision)
      : graph_(graph),
        operators_(plan.stages[stage.value].operators),
        shapes_(shapes),
        precision_(precision),
        kept_(operators_.size()) {
    find_uses();
    for (const proto::Boundary& boundary : proto::boundaries(graph, plan)) {
      if (boundary.from == stage && !boundary.data) received_gradients_.push_back(boundary.value);
    }
  }

  MicroBatchMemory run() {
    MicroBatchMemory memory;
    forward();
    memory.forward_peak = meter_.peak;
    memory.saved = meter_.now;
    meter_.restart();
    std::vector<Tensor> output_gradients = backward_inputs();
    memory.backward_input_peak = meter_.peak;
    memory.kept_for_weights = meter_.now;
    meter_.restart();
    backward_weights(output_gradients);
    memory.backward_weight_peak = meter_.peak;
    LONGHAUL_ASSERT(meter_.now == 0);
    return memory;
  }

 private:
  struct Use {
    std::size_t readers = 0;      // operators anywhere
    std::size_t last_reader = 0;  // place in operators_, where read_here
    bool read_here = false;
    bool made_here = false;
    bool read_elsewhere = false;
  };

  void find_uses() {
    std::vector<bool> here(graph_.operators.size());
    for (const OperatorIndex op : operators_) here[op.value] = true;
    uses_.resize(graph_.data_inputs.size() + graph_.operators.size());
    std::size_t place = 0;
    for (std::uint32_t i = 0; i < graph_.operators.size(); ++i) {
      const auto& inputs = graph_.operators[i].inputs;
      for (std::size_t k = 0; k < inputs.size(); ++k) {
        Use& use = uses_[inputs[k].value];
        if (k == 0 || inputs[k] != inputs[0]) ++use.readers;
        (here[i] ? use.read_here : use.read_elsewhere) = true;
        if (here[i]) use.last_reader = place;
      }
      if (here[i]) {
        uses_[graph_.value_of(OperatorIndex{i}).value].made_here = true;
        ++place;
      }
    }
    for (std::uint32_t v = 0; v < uses_.size(); ++v) {
      if (!uses_[v].read_here || uses_[v].made_here) continue;
      inputs_.push_back(ValueIndex{v});
      owes_gradients_ = owes_gradients_ || !graph_.is_data_input(ValueIndex{v});
    }
  }

  Tensor make(std::int64_t bytes) { return std::make_shared<Memory>(meter_, bytes); }
  Tensor make(ValueIndex value) { return make(value_bytes(graph_, value, shapes_, precision_)); }
  const Operator& described(std::size_t place) const {
    return graph_.operators[operators_[place].value];
  }
  OperatorWorkspace workspace(std::size_t place) const {
    return operator_workspace(graph_, operators_[place], shapes_, precision_);
  }

  // A linear's output is fresh memory that the linear itself does not keep.
  bool may_overwrite(ValueIndex value) const {
    const Use& use = uses_[value.value];
    return use.made_here && use.readers == 1 &&
           graph_.operators[graph_.operator_of(value).value].kind == OperatorKind::kLinear;
  }

  void forward() {
    Tensors values;
    std::vector<Tensor> received;
    for (const ValueIndex value : inputs_) {
      received.push_back(values.emplace(value, make(value)).first->second);
    }
    for (std::size_t i = 0; i < operators_.size(); ++i) {
      Tensor output = run_forward(i, values);
      for (const ValueIndex value : described(i).inputs) {
        const Use& use = uses_[value.value];
        const bool sent = use.made_here && use.read_elsewhere;
        if (use.last_reader == i && !sent) values.erase(value);
      }
      values.emplace(graph_.value_of(operators_[i]), std::move(output));
    }
  }

  Tensor run_forward(std::size_t i, const Tensors& values) {
    const Operator& op = described(i);
    const OperatorIndex index = operators_[i];
    const Tensor first = values.at(op.inputs[0]);
    const proto::SavedValues saved = proto::saved_values(op);
    for (std::size_t k = 0; k < op.inputs.size(); ++k) {
      if (saved.inputs[k]) kept_[i].push_back(values.at(op.inputs[k]));
    }
    if (op.kind == OperatorKind::kCrossEntropy && !may_overwrite(op.inputs[0])) {
      kept_[i].insert(kept_[i].begin(), make(op.inputs[0]));
    }
    const std::int64_t extra = saved_extra_bytes(graph_, index, shapes_, precision_);
    if (extra > 0) kept_[i].push_back(make(extra));
    if (op.kind == OperatorKind::kDropout && op.rate == 0.0) return first;
    Tensor output = make(graph_.value_of(index));
    if (saved.output) kept_[i].push_back(output);
    (void)make(workspace(i).forward);
    return output;
  }

  // What weight gradients still need, per operator.
  std::vector<Tensor> backward_inputs() {
    std::vector<Tensor> output_gradients(operators_.size());
    Tensors gradients;
    std::vector<Tensor> received;
    for (const ValueIndex value : received_gradients_) {
      received.push_back(make(value));
      accumulate(gradients, value, received.back());
    }
    for (std::size_t i = operators_.size(); i-- > 0;) {
      backward_input(i, gradients, output_gradients);
    }
    return output_gradients;
  }

  void backward_weights(std::vector<Tensor>& output_gradients) {
    for (std::size_t i = operators_.size(); i-- > 0;) {
      if (!output_gradients[i]) continue;
      (void)make(workspace(i).weight_gradient);
      output_gradients[i].reset();
      kept_[i].clear();
    }
  }

  void backward_input(std::size_t i, Tensors& gradients, std::vector<Tensor>& output_gradients) {
    const Operator& op = described(i);
    Tensor output_gradient;
    if (auto found = gradients.extract(graph_.value_of(operators_[i])); !found.empty()) {
      output_gradient = std::move(found.mapped());
    }
    std::array<Tensor, 2> input_gradients = differentiate(i, output_gradient);
    for (std::size_t k = 0; k < op.inputs.size(); ++k) {
      if (input_gradients[k]) {
        accumulate(gradients, op.inputs[k], std::move(input_gradients[k]));
      }
    }
    if (op.parameters.empty()) {
      kept_[i].clear();
    } else if (owes_gradients_) {
      output_gradients[i] = std::move(output_gradient);
    } else {
      (void)make(workspace(i).weight_gradient);
      kept_[i].clear();
    }
  }

  std::array<Tensor, 2> differentiate(std::size_t i, const Tensor& output_gradient) {
    const Operator& op = described(i);
    switch (op.kind) {
      case OperatorKind::kEmbedding:
        return {};
      case OperatorKind::kAddPosition:
        return {output_gradient};
      case OperatorKind::kAdd:
        return {output_gradient, output_gradient};
      case OperatorKind::kDropout:
        if (op.rate == 0.0) return {output_gradient};
        break;
      case OperatorKind::kCrossEntropy:
        return {kept_[i].front()};
      case OperatorKind::kMultiply:
        return {make(op.inputs[0]), make(op.inputs[1])};
      case OperatorKind::kLayerNorm:
      case OperatorKind::kLinear:
      case OperatorKind::kAttention:
      case OperatorKind::kGelu:
      case OperatorKind::kRelu:
      case OperatorKind::kSilu:
      case OperatorKind::kTanh:
      case OperatorKind::kSigmoid:
      case OperatorKind::kCausalConv1d:
        break;
    }
    Tensor gradient = make(op.inputs[0]);
    (void)make(workspace(i).input_gradient);
    return {std::move(gradient)};
  }

  // In place where nobody else holds one of the two.
  void accumulate(Tensors& gradients, ValueIndex value, Tensor contribution) {
    const auto [place, inserted] = gradients.try_emplace(value, contribution);
    if (inserted || place->second.use_count() == 1) return;
    place->second = contribution.use_count() == 1 ? std::move(contribution) : make(value);
  }

  const proto::Graph& graph_;
  const std::vector<OperatorIndex>& operators_;
  std::span<const proto::Shape> shapes_;
  proto::Precision precision_;
  Meter meter_;
  std::vector<Use> uses_;  // per value of the graph
  std::vector<ValueIndex> inputs_;
  std::vector<ValueIndex> received_gradients_;  // a value once per stage that reads it
  bool owes_gradients_ = false;
  std::vector<std::vector<Tensor>> kept_;  // per operator of the stage
};

}  // namespace

MicroBatchMemory walk_micro_batch(const proto::Graph& graph, const proto::Plan& plan,
                                  proto::StageIndex stage, std::span<const proto::Shape> shapes,
                                  proto::Precision precision) {
  return Walk(graph, plan, stage, shapes, precision).run();
}

}  // namespace longhaul::scheduler
