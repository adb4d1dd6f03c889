// The end of a step for parameters that several operators share, on this stage or on others too.
#pragma once

#include "compnode/execution/parameter_store.hpp"
#include "compnode/worker/stage_links.hpp"
#include "proto/plan.hpp"

#include <cstdint>
#include <map>
#include <vector>

namespace longhaul::compnode {

// Sums a parameter's gradients over its uses, in the order of the operators, so that every stage
// that shares it gets the same bits whatever the split.
//
// Memory: gradients of other stages arrive once no stage that shares a parameter has activations
// left, and all of them are here at once; ours are sent where they lie, without a copy. So the peak
// depends on nobody's timing: 4 bytes per element for each use elsewhere, and one such buffer more
// where the first two uses are here.
class TiedGradients {
 public:
  // What is given outlives this.
  TiedGradients(const proto::Graph& graph, const proto::Plan& plan, proto::StageIndex self,
                ParameterStore& parameters, StageLinks& links);

  [[nodiscard]] const std::vector<proto::TiedParameter>& shared() const { return shared_; }

  // After the step's last micro-batch: waits for the other stages and sums. Until store(), the
  // gradients that other stages have a use of stay as they are: they are being sent.
  void sum(std::uint64_t step);

  // Of a parameter of this stage, between sum() and store().
  [[nodiscard]] const at::Tensor& total(const StageParameter& entry) const;

  // Puts the totals into the first uses' gradients. Requires that every stage that shares a
  // parameter has told, after its own sum(), that it has what was sent to it.
  void store();

 private:
  struct Term {
    at::Tensor gradient;
    bool ours;  // lies in the ParameterStore
  };

  void wait_until_all_are_done(std::uint64_t step);
  void send(std::uint64_t step, const proto::TiedParameter& tied);
  [[nodiscard]] std::vector<Term> receive(std::uint64_t step, const proto::TiedParameter& tied);
  [[nodiscard]] std::string name_of(proto::ParameterIndex parameter, proto::OperatorIndex op) const;
  [[nodiscard]] static at::Tensor sum_of(std::vector<Term> terms);

  const proto::Graph& graph_;
  const proto::Plan& plan_;
  proto::StageIndex self_;
  ParameterStore& parameters_;
  StageLinks& links_;
  std::vector<proto::TiedParameter> shared_;            // by several stages, this one or not
  std::vector<proto::TiedParameter> ours_;              // those that this stage shares
  std::map<proto::ParameterIndex, at::Tensor> totals_;  // of ours_, between sum() and store()
};

}  // namespace longhaul::compnode
