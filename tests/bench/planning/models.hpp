// Models as operator graphs for the benchmark of the planners.
#pragma once

#include "scheduler/workload.hpp"
#include "scheduler/workload_from_graph.hpp"

#include <cstdint>
#include <vector>

namespace longhaul::tests {

struct GptShape {
  std::int64_t layers = 48;
  std::int64_t width = 1600;
  std::int64_t heads = 25;
};

// GPT-2 XL as published: 48 layers of width 1,600, sequences of 1,024 tokens, bf16.
[[nodiscard]] scheduler::Workload gpt_workload(const GptShape& shape, std::int64_t micro_batch,
                                               const std::vector<scheduler::DeviceKind>& kinds);

// ResNet-101 (He et al. 2016) on images of 224 x 224: convolutions, normalisations, activations and
// additions of its 33 bottleneck blocks as operators, bf16; a "token" is an image.
[[nodiscard]] scheduler::Workload resnet101_workload(
    std::uint32_t micro_batch, const std::vector<scheduler::DeviceKind>& kinds);

}  // namespace longhaul::tests
