// AdamW with decoupled weight decay, and the learning-rate schedule.
#pragma once

#include "compnode/execution/parameter_store.hpp"
#include "proto/job.pb.h"

#include <cstdint>
#include <vector>

namespace longhaul::compnode {

// The learning rate of a step (from 0): linear warm-up lr (step + 1) / warmup, then, with
// t = (step - warmup) / (steps - warmup), the cosine final + (1 - final) (1 + cos(pi t)) / 2 of
// the peak, or the peak itself for "constant".
[[nodiscard]] double learning_rate_at(const wire::Training& training, std::uint64_t step);

// The sum of squares of a tensor's elements, accumulated in fp64 in a fixed order of blocks.
[[nodiscard]] double squared_norm(const at::Tensor& tensor);

// Loshchilov and Hutter, arXiv 1711.05101, in the order of operations of torch.optim.AdamW:
// p -= lr wd p; m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2;
// p -= lr / (1 - b1^t) m / (sqrt(v) / sqrt(1 - b2^t) + epsilon).
class AdamW {
 public:
  struct Moments {
    at::Tensor mean;      // exp_avg, fp32
    at::Tensor variance;  // exp_avg_sq, fp32
  };

  AdamW(ParameterStore& parameters, const wire::Optimizer& settings);

  struct Update {
    std::uint64_t step = 0;  // from 0
    double learning_rate = 0.0;
    double gradient_scale = 1.0;  // of clipping
  };
  // Applies one step; the gradient of each parameter is in its first use's buffer.
  void apply(const Update& update);

  // In the order of ParameterStore::parameters().
  [[nodiscard]] std::vector<Moments>& moments() { return moments_; }

 private:
  void apply_block(const Update& update, StageParameter& entry, Moments& moments,
                   std::int64_t first, std::int64_t count) const;

  ParameterStore& parameters_;
  wire::Optimizer settings_;
  std::vector<Moments> moments_;
};

}  // namespace longhaul::compnode
