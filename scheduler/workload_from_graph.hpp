// A workload from formulas alone, for devices that nobody has measured.
#pragma once

#include "proto/error.hpp"
#include "proto/graph.hpp"
#include "proto/job.hpp"
#include "scheduler/workload.hpp"

#include <string>
#include <vector>

namespace longhaul::scheduler {

// A kind of device by its data sheet.
struct DeviceKind {
  std::string name;
  double flops_per_s = 0.0;         // peak for the job's precision
  double efficiency = 0.5;          // part of the peak that matrix products reach, (0, 1]
  double memory_bytes_per_s = 0.0;  // that cheap operators are bound by
  double overlap_slowdown = 1.0;
};

struct GraphWorkloadOptions {
  proto::ShapeBinding binding;  // sequences in a micro-batch, tokens in a sequence
  MemoryOptions memory = {};
  std::vector<DeviceKind> kinds;
};

// Each operator takes, forward and for each gradient, the longer of its FLOPs (operator_costs.hpp)
// over flops_per_s * efficiency, and the bytes that it reads and writes over memory_bytes_per_s:
// inputs, output and parameters forward; those and the gradient of the output for input gradients;
// inputs, the output's gradient and twice the parameters for weight gradients; nothing where there
// are no FLOPs. The optimizer reads and writes its state once. State, saved bytes and scratch are
// memory_estimate's. kConfiguration: shapes that do not fit (as infer_shapes), no kind, or a kind
// whose numbers are not positive.
[[nodiscard]] proto::Result<Workload> workload_from_graph(const proto::Graph& graph,
                                                          const GraphWorkloadOptions& options);

}  // namespace longhaul::scheduler
