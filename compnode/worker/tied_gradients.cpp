// Everybody done, everything sent, everything received; then the sums.
#include "compnode/worker/tied_gradients.hpp"

#include "proto/tensor.pb.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <string>
#include <utility>

namespace longhaul::compnode {

using proto::OperatorIndex;
using proto::ParameterIndex;
using proto::StageIndex;

TiedGradients::TiedGradients(const proto::Graph& graph, const proto::Plan& plan, StageIndex self,
                             ParameterStore& parameters, StageLinks& links)
    : graph_(graph),
      plan_(plan),
      self_(self),
      parameters_(parameters),
      links_(links),
      shared_(proto::tied_parameters(graph, plan)) {
  std::copy_if(shared_.begin(), shared_.end(), std::back_inserter(ours_), [self](const auto& tied) {
    return std::find(tied.stages.begin(), tied.stages.end(), self) != tied.stages.end();
  });
}

void TiedGradients::sum(std::uint64_t step) {
  for (StageParameter& entry : parameters_.parameters()) {
    const bool shared =
        std::ranges::find(ours_, entry.index, &proto::TiedParameter::parameter) != ours_.end();
    for (std::size_t use = 1; use < entry.uses.size() && !shared; ++use) {
      entry.uses.front().gradient.add_(entry.uses[use].gradient);
    }
  }
  wait_until_all_are_done(step);
  for (const proto::TiedParameter& tied : ours_) send(step, tied);
  std::vector<std::vector<Term>> received;
  for (const proto::TiedParameter& tied : ours_) received.push_back(receive(step, tied));
  for (std::size_t i = 0; i < ours_.size(); ++i) {
    totals_.emplace(ours_[i].parameter, sum_of(std::move(received[i])));
  }
}

// A peer that is through with its micro-batches earlier than this stage would else send its
// gradients into the memory that this stage's activations still need.
void TiedGradients::wait_until_all_are_done(std::uint64_t step) {
  std::set<StageIndex> peers;
  for (const proto::TiedParameter& tied : ours_) {
    peers.insert(tied.stages.begin(), tied.stages.end());
  }
  peers.erase(self_);
  const Moment moment{wire::TensorHeader::TRAINING, step, {}};
  for (const StageIndex peer : peers) links_.send_done(moment, peer);
  for (const StageIndex peer : peers) links_.receive_done(moment, peer);
}

void TiedGradients::send(std::uint64_t step, const proto::TiedParameter& tied) {
  for (const StageIndex other : tied.stages) {
    if (other == self_) continue;
    for (const ParameterUse& use : parameters_.parameter(tied.parameter).uses) {
      links_.send_tied_gradient(step, other, name_of(tied.parameter, use.op), use.gradient);
    }
  }
}

std::vector<TiedGradients::Term> TiedGradients::receive(std::uint64_t step,
                                                        const proto::TiedParameter& tied) {
  const StageParameter& entry = parameters_.parameter(tied.parameter);
  std::vector<Term> terms;
  std::size_t local = 0;
  for (std::uint32_t i = 0; i < graph_.operators.size(); ++i) {
    const OperatorIndex op{i};
    const auto& used = graph_.operators[i].parameters;
    if (std::find(used.begin(), used.end(), tied.parameter) == used.end()) continue;
    const StageIndex where = plan_.stage_of(op);
    if (where == self_) {
      terms.push_back({entry.uses[local++].gradient, true});
    } else {
      terms.push_back({links_.receive_tied_gradient(step, where, name_of(tied.parameter, op),
                                                    graph_.parameters[tied.parameter.value].shape),
                       false});
    }
  }
  return terms;
}

// Never writes what is ours. a + b and b + a are the same bits, so that the sum so far may go into
// the received summand.
at::Tensor TiedGradients::sum_of(std::vector<Term> terms) {
  Term sum = std::move(terms.front());
  for (std::size_t i = 1; i < terms.size(); ++i) {
    Term next = std::move(terms[i]);
    if (!sum.ours) {
      sum.gradient.add_(next.gradient);
    } else if (!next.ours) {
      next.gradient.add_(sum.gradient);
      sum = std::move(next);
    } else {
      sum = {sum.gradient.add(next.gradient), false};
    }
  }
  return std::move(sum.gradient);
}

const at::Tensor& TiedGradients::total(const StageParameter& entry) const {
  const auto found = totals_.find(entry.index);
  return found == totals_.end() ? entry.uses.front().gradient : found->second;
}

void TiedGradients::store() {
  for (const auto& [parameter, total] : totals_) {
    parameters_.parameter(parameter).uses.front().gradient.copy_(total);
  }
  totals_.clear();
}

std::string TiedGradients::name_of(ParameterIndex parameter, OperatorIndex op) const {
  return fmt::format("{}@{}", graph_.parameters[parameter.value].name,
                     graph_.operators[op.value].id);
}

}  // namespace longhaul::compnode
