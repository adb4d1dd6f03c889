// A short name for what a graph computes, which ties checkpoints to their graph.
#pragma once

#include "proto/graph.hpp"

#include <string>

namespace longhaul::compnode {

// 16 hexadecimal digits over data inputs, parameters and operators with their attributes, loss and
// logits. The graph's name and its Hugging Face configuration do not count.
[[nodiscard]] std::string fingerprint(const proto::Graph& graph);

}  // namespace longhaul::compnode
