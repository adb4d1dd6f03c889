// The parameters of one stage: fp32 masters, working copies, and one gradient buffer per use.
#pragma once

#include "compnode/execution/torch.hpp"
#include "proto/graph.hpp"
#include "proto/plan.hpp"

#include <cstdint>
#include <functional>
#include <span>
#include <unordered_map>
#include <vector>

namespace longhaul::compnode {

// One operator's use of a parameter. A tied parameter has several, each with a gradient buffer of
// its own, so that the sum over uses has one order whatever the split.
struct ParameterUse {
  proto::OperatorIndex op;
  at::Tensor gradient;  // fp32, accumulated into
};

struct StageParameter {
  proto::ParameterIndex index;
  at::Tensor master;   // fp32
  at::Tensor working;  // in the job's precision; the master itself under fp32
  std::vector<ParameterUse> uses;  // on this stage, ascending by operator
};

class ParameterStore {
 public:
  struct Options {
    at::Device device{at::kCPU};
    at::ScalarType precision = at::kFloat;  // of the working copies
    bool gradients = true;                  // false: for inference only
  };

  ParameterStore(const proto::Graph& graph, const proto::Plan& plan, proto::StageIndex stage,
                 Options options);

  // Draws every parameter from its initialisation. A parameter's values depend on the seed and on
  // its name only, so that tied copies and other splits start alike.
  void initialise(std::uint64_t seed);

  // Overwrites one parameter's master; `fill` gets its elements, row-major.
  void fill(proto::ParameterIndex index, const std::function<void(std::span<float>)>& read);

  // Copies the masters into the working copies; call after the masters changed.
  void refresh_working_copies();
  void zero_gradients();

  [[nodiscard]] std::vector<StageParameter>& parameters() { return parameters_; }
  [[nodiscard]] StageParameter& parameter(proto::ParameterIndex index);
  [[nodiscard]] at::Tensor value(proto::ParameterIndex index, at::ScalarType type);
  [[nodiscard]] at::Tensor gradient(proto::ParameterIndex index, proto::OperatorIndex op);
  [[nodiscard]] std::uint64_t elements() const;
  [[nodiscard]] const proto::Graph& graph() const { return graph_; }
  [[nodiscard]] at::Device device() const { return options_.device; }

 private:
  const proto::Graph& graph_;
  Options options_;
  std::vector<StageParameter> parameters_;  // ascending by index
  std::unordered_map<proto::ParameterIndex, std::size_t> place_;
};

}  // namespace longhaul::compnode
