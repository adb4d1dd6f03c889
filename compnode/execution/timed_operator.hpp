// An operator that tells how long it takes.
#pragma once

#include "compnode/execution/operators/operator.hpp"

#include <memory>
#include <vector>

namespace longhaul::compnode {

// Seconds of each call, the device's work included.
struct OperatorTimes {
  std::vector<double> forward_s;
  std::vector<double> input_gradient_s;
  std::vector<double> weight_gradient_s;
};

// Does what `op` does, and adds to `times`, which outlives it. Waits for the device after each
// call: for measurements, not for training.
[[nodiscard]] std::unique_ptr<Operator> timed(std::unique_ptr<Operator> op, at::Device device,
                                              OperatorTimes& times);

}  // namespace longhaul::compnode
