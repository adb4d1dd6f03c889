// Small graphs and plans for the executor's tests.
#pragma once

#include "proto/graph.hpp"
#include "proto/plan.hpp"

#include <string>
#include <vector>

namespace longhaul::compnode::testing {

struct TinyGpt {
  int layers = 2;
  int vocabulary = 61;
  int width = 24;
  int heads = 3;
  int positions = 16;
  double dropout = 0.1;
};

// A GPT-2 of the given size with tied embeddings.
[[nodiscard]] proto::Graph tiny_gpt(const TinyGpt& size);

// The graph cut after the given operators; an empty list is one stage.
[[nodiscard]] proto::Plan plan_cut_after(const proto::Graph& graph,
                                         const std::vector<std::string>& last_operators);

}  // namespace longhaul::compnode::testing
