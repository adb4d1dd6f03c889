// A small GPT-2-like graph and values for its parameters that any language can recompute.
#pragma once

#include "compnode/files/tensor_view.hpp"
#include "proto/graph.hpp"

#include <memory>
#include <string>
#include <vector>

namespace longhaul::compnode::test {

// One block, the head tied to the token embedding; `width` a multiple of 2.
[[nodiscard]] proto::Graph sample_graph(std::int64_t width = 4, bool tied = true);

// element i = ((sum of the name's bytes + 7 i) mod 1000) / 8 + offset: exact in fp32.
[[nodiscard]] std::vector<float> sample_values(const std::string& name, std::int64_t elements,
                                               float offset = 0.0F);

// Owns values for every parameter of a graph.
class SampleWeights {
 public:
  explicit SampleWeights(const proto::Graph& graph, float offset = 0.0F);
  [[nodiscard]] const std::vector<NamedTensor>& tensors() const { return tensors_; }
  [[nodiscard]] const std::vector<float>& values(std::size_t parameter) const {
    return values_[parameter];
  }

 private:
  std::vector<std::vector<float>> values_;
  std::vector<NamedTensor> tensors_;
};

}  // namespace longhaul::compnode::test
