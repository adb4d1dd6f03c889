// Micro-batches of very unequal cost for a pipeline of encoder, backbone and generator.
#pragma once

#include "scheduler/pipeline_time.hpp"

#include <cstdint>
#include <vector>

namespace longhaul::scheduler {

// The first stage (encoder) and the last (generator) take a time in proportion to a micro-batch's
// images, whose number is log-normal; the stages between always take 1 s. A backward takes twice
// its forward, which is a third of these times.
struct Skew {
  std::uint32_t stages = 6;
  std::uint32_t micro_batches = 24;
  double sigma = 1.0;  // of the logarithm of the number of images
  double mean_of_backbone =
      0.9;  // mean time of encoder and generator over a stage's of the backbone
};

class SkewedBatch {
 public:
  SkewedBatch(std::uint64_t seed, Skew skew);

  [[nodiscard]] PipelineDurations durations() const {
    return {.forward_s = forward_s_, .input_gradient_s = backward_s_};
  }

 private:
  std::vector<double> forward_s_;
  std::vector<double> backward_s_;
};

// `count` numbers of log-normal distribution with mean 1.
[[nodiscard]] std::vector<double> log_normal(std::uint64_t seed, std::size_t count, double sigma);

}  // namespace longhaul::scheduler
