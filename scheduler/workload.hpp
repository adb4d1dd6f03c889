// A model as planners see it: what each operator takes on each kind of device, and what it keeps.
#pragma once

#include "proto/error.hpp"
#include "proto/graph.hpp"
#include "scheduler/memory_estimate.hpp"
#include "scheduler/simulator/pipeline_work.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace longhaul::scheduler {

// What devices that share an operator exchange for it.
enum class Exchange {
  kNothing,    // each row or channel is computed by itself
  kMatrix,     // divided by tensor: its smaller side is gathered, or summed and scattered
  kAttention,  // divided by sequence: all-to-all before and after it
};

// Of one micro-batch. Bytes of memory are at the operator's own share: sums over a stage's
// operators are what the stage needs.
struct WorkloadOperator {
  std::string id;
  std::vector<std::size_t> inputs;  // operators before it
  bool needs_data = false;          // reads tokens, targets, images
  double flops = 0.0;               // forward and backward
  double state_bytes = 0.0;         // parameters, gradients, optimizer
  double parameter_bytes = 0.0;     // fp32, for the exchange of tied gradients
  double saved_bytes = 0.0;         // kept between forward and backward
  double workspace_bytes = 0.0;     // while it runs
  double output_bytes = 0.0;        // as its value crosses a boundary, without a codec
  double update_s = 0.0;            // optimizer, on a device of the first kind
  Exchange exchange = Exchange::kNothing;
};

// Operators that use one parameter: their gradients are summed across stages at each step.
struct WorkloadTie {
  std::vector<std::size_t> operators;
  double bytes = 0.0;  // of the gradient
  // Of each operator's state_bytes: operators on one stage hold it once.
  double shared_state_bytes = 0.0;
};

struct Workload {
  std::string name;
  std::uint32_t micro_batch_size = 1;
  double tokens_per_micro_batch = 0.0;
  std::vector<WorkloadOperator> operators;  // topological order
  std::vector<WorkloadTie> ties;
  std::vector<std::string> kinds;             // of devices
  std::vector<std::vector<StageTime>> times;  // [kind][operator]
  std::vector<double> update_scale;           // [kind]: factor on update_s
  std::vector<double> overlap_slowdown;       // [kind]: factor on computation while messages travel
  // [kind][operator]: once a step, after the last weight gradient; empty: nothing.
  std::vector<std::vector<double>> reduction_s = {};
  double computed_share = 1.0;  // bytes of a parameter that is computed with, over its fp32 bytes

  [[nodiscard]] std::optional<std::size_t> kind_of(const std::string& name) const;
  // Bytes of the values made before operator `cut` and read by it or a later one, [0, operators].
  [[nodiscard]] std::vector<double> cut_bytes() const;
};

// kConfiguration names the operator and what is wrong: an input that does not come before it, a
// negative or infinite number, a kind without times for every operator.
[[nodiscard]] proto::Result<void> check_workload(const Workload& workload);

}  // namespace longhaul::scheduler
