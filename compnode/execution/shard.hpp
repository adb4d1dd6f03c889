// A stage's part of the operator DAG, executed: forward, input gradients, weight gradients.
#pragma once

#include "compnode/execution/operators/operator.hpp"
#include "compnode/execution/parameter_store.hpp"
#include "compnode/execution/timed_operator.hpp"
#include "proto/graph.hpp"
#include "proto/ids.hpp"
#include "proto/plan.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace longhaul::compnode {

// A tensor and the value of the graph that it is (or is the gradient of).
struct ValueTensor {
  proto::ValueIndex value;
  at::Tensor tensor;
};

class Shard {
 public:
  // `graph`, `plan` and `parameters` outlive the shard.
  Shard(const proto::Graph& graph, const proto::Plan& plan, proto::StageIndex stage,
        ParameterStore& parameters, at::ScalarType precision);

  // Values that the stage's operators read and do not make: from other stages, or data.
  [[nodiscard]] const std::vector<proto::ValueIndex>& inputs() const { return inputs_; }
  // Inputs whose gradients other stages wait for.
  [[nodiscard]] const std::vector<proto::ValueIndex>& differentiable_inputs() const {
    return differentiable_inputs_;
  }
  // Values that other stages read, ascending.
  [[nodiscard]] const std::vector<proto::ValueIndex>& outputs() const { return outputs_; }
  [[nodiscard]] bool has_loss() const { return has_loss_; }

  // Sees every operator's output as it is computed.
  using Observer = std::function<void(proto::OperatorIndex, const at::Tensor&)>;

  // From here on every operator's calls are timed: `times` by the graph's operators, outliving the
  // shard.
  void time_operators(std::span<OperatorTimes> times);

  struct Forward {
    std::vector<ValueTensor> outputs;  // in the order of outputs()
    at::Tensor loss;                   // scalar, defined where has_loss()
  };

  // Runs the operators on one micro-batch. `inputs` holds every value of inputs(). With
  // `keep`, what backward needs is kept until backward_weight of the same micro-batch.
  [[nodiscard]] Forward forward(proto::MicroBatchIndex micro_batch, const ExecutionPoint& point,
                                const std::vector<ValueTensor>& inputs, bool keep,
                                const Observer& observer = {});

  // Computes `target` from `inputs` alone, for example the logits, without keeping anything.
  [[nodiscard]] at::Tensor evaluate(proto::OperatorIndex target,
                                    const std::vector<ValueTensor>& inputs);

  // `output_gradients`: the contributions of later stages to outputs(), latest stage first; the
  // loss starts from `loss_gradient`. Returns the gradients of differentiable_inputs(). A stage
  // without such inputs computes its weight gradients on the way, which holds less memory.
  [[nodiscard]] std::vector<ValueTensor> backward_input(
      proto::MicroBatchIndex micro_batch, const std::vector<ValueTensor>& output_gradients,
      double loss_gradient);

  // Accumulates the weight gradients and forgets the micro-batch.
  void backward_weight(proto::MicroBatchIndex micro_batch);

 private:
  struct Node {
    proto::OperatorIndex index;
    std::unique_ptr<Operator> op;
    bool may_overwrite_input = false;
    std::vector<proto::ValueIndex> released_after;  // values nobody reads any more
  };
  struct InFlight {
    std::vector<Kept> kept;                    // per node
    std::vector<at::Tensor> output_gradients;  // per node, for the weight gradients
  };

  void find_boundaries();
  void plan_releases();
  at::Tensor run_node(const Node& node,
                      const std::unordered_map<proto::ValueIndex, at::Tensor>& values,
                      ExecutionPoint point, Kept* kept);
  std::vector<at::Tensor> parameters_of(const Node& node);
  void weight_gradients(const Node& node, const at::Tensor& output_gradient, Kept& kept);

  const proto::Graph& graph_;
  ParameterStore& parameters_;
  at::ScalarType precision_;
  std::vector<Node> nodes_;
  std::vector<proto::ValueIndex> inputs_;
  std::vector<proto::ValueIndex> differentiable_inputs_;
  std::vector<proto::ValueIndex> outputs_;
  bool has_loss_ = false;
  std::unordered_map<proto::MicroBatchIndex, InFlight> in_flight_;
};

}  // namespace longhaul::compnode
