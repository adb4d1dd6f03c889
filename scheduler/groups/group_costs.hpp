// What an operator takes, and what it keeps, on a group of devices under a strategy.
#pragma once

#include "scheduler/groups/collectives.hpp"
#include "scheduler/groups/strategy.hpp"
#include "scheduler/memory_estimate.hpp"
#include "scheduler/workload.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace longhaul::scheduler {

struct GroupOperatorCost {
  StageTime time;            // of a micro-batch, exchanges included
  double reduction_s = 0.0;  // once a step: gradients, parameters, optimizer
};

// Of one device's share of one operator, as parts of the whole operator's.
struct MemoryShares {
  double parameters = 1.0;
  double gradients = 1.0;
  double optimizer = 1.0;
  double values = 1.0;  // activations, workspace, boundaries
};

// Devices of one site, in the order in which a strategy deals them out: row-major (data, sequence,
// tensor). Replicas get whole samples of a micro-batch, more where devices are faster: each sample
// in turn to who would finish it first. A replica is as slow as its slowest device.
//
// Exchanges, with n the degree and P the operator's bytes of parameters over the tensor degree:
//   tensor      a kMatrix operator gathers, or scatters the sum of, the smaller of its input and
//               output, forward and again backward: for a transformer's layer the 4 + 4 exchanges
//               of Korthikanti et al. 2022 (arXiv 2205.05198), section 4.2.1
//   sequence    a kAttention operator's input and output change hands by all-to-all, forward and
//               backward: DeepSpeed-Ulysses (arXiv 2309.14509), section 3.2
//   replicas    kNothing, kOptimizer: gradients 2 (n-1)/n P once a step. kGradients: (n-1)/n P per
//               micro-batch, and (n-1)/n P of new parameters per step. kParameters: (n-1)/n P of
//               parameters forward and backward and of gradients, per micro-batch: Rajbhandari et
//               al. 2020 (arXiv 1910.02054), sections 7.2 and 7.3
// Gradients that are reduced per micro-batch overlap with computing them: max + (k - 1) min, as in
// Galvatron, with k the overlap slowdown. Nothing else overlaps. Parameters that are no matrix
// travel in a matrix's messages. A checkpointed operator repeats its forward, exchanges included,
// in the backward.
class GroupCosts {
 public:
  // All three must outlive it; `devices` not empty, of kinds that the workload has.
  GroupCosts(const Fleet& fleet, const Workload& workload, std::vector<std::size_t> devices);

  [[nodiscard]] std::span<const GroupStrategy> strategies() const { return strategies_; }
  [[nodiscard]] const std::vector<std::size_t>& devices() const { return devices_; }
  // Of strategies()[strategy].
  [[nodiscard]] GroupOperatorCost cost(std::size_t op, std::size_t strategy) const;
  // Both ways, where the operator's inputs come from an operator of another strategy: what is not
  // there already is gathered, (n-1)/n of its bytes. Nothing between strategies of equal degrees.
  [[nodiscard]] double change_s(std::size_t op, std::size_t before, std::size_t after) const;
  [[nodiscard]] double change_s(std::size_t op) const;  // as above, where degrees differ

  // Of the group's device i.
  [[nodiscard]] MemoryShares shares(std::size_t strategy, std::size_t i) const;
  // As many as there are strategies: it is none of them.
  [[nodiscard]] std::size_t index_of(const GroupStrategy& strategy) const;

  [[nodiscard]] const Workload& workload() const { return *workload_; }
  [[nodiscard]] const Fleet& fleet() const { return *fleet_; }

 private:
  struct Layout {
    std::vector<double> samples;  // of each data replica, over the micro-batch's
    struct Pace {                 // of a device, those of one pace once
      std::size_t kind = 0;
      double factor = 0.0;         // on the operator's time alone on its kind
      double update_factor = 0.0;  // on its optimizer's time
    };
    std::vector<Pace> paces;
    RingLink tensor, sequence, replicas;
    double slowdown = 1.0;
  };
  void add_replicas(std::size_t op, const GroupStrategy& degrees, const Layout& layout,
                    GroupOperatorCost& cost) const;
  [[nodiscard]] Layout layout(const GroupStrategy& strategy) const;
  [[nodiscard]] std::vector<double> deal(const GroupStrategy& strategy) const;

  const Fleet* fleet_;
  const Workload* workload_;
  std::vector<std::size_t> devices_;
  std::vector<std::size_t> kinds_;   // of each device
  std::vector<double> alone_s_;      // of each device: the whole model on it alone
  std::vector<double> input_bytes_;  // of each operator
  std::vector<GroupStrategy> strategies_;
  std::vector<Layout> layouts_;
  RingLink group_;
};

}  // namespace longhaul::scheduler
