// A graph's parameters found in a folder of weights: `model: {from: folder}` of a job.
#pragma once

#include "compnode/files/weights_folder.hpp"
#include "proto/graph.hpp"

#include <filesystem>
#include <vector>

namespace longhaul::compnode {

class ModelWeights {
 public:
  // Finds each parameter under its name, or with "transformer." before it, or without. What GPT-2
  // folders hold beside parameters is passed over: the buffers `*.attn.bias` and
  // `*.attn.masked_bias`, and `lm_head.weight` where the graph ties it to the token embedding and
  // it holds the same values. Everything else that is missing, surplus, of another shape or of a
  // dtype without conversion stands in one kConfiguration error.
  [[nodiscard]] static proto::Result<ModelWeights> open(const std::filesystem::path& folder,
                                                        const proto::Graph& graph);

  // The parameter's values in the shape of the graph; for read_f32.
  [[nodiscard]] const TensorView& parameter(proto::ParameterIndex index) const;

 private:
  WeightsFolder folder_;
  std::vector<TensorView> parameters_;  // by ParameterIndex
};

}  // namespace longhaul::compnode
