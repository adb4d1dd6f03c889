// Graphs that several areas' tests share: a small GPT-2, and random DAGs from a seed.
#pragma once

#include "proto/graph.hpp"
#include "proto/plan.hpp"

#include <cstdint>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace longhaul::tests {

// Adds to a message in one line each; the operator's id is its name as an input.
class GraphBuilder {
 public:
  GraphBuilder();  // with data inputs "tokens" and "targets"

  void parameter(const std::string& name, std::initializer_list<std::int64_t> shape);
  wire::Operator& add(const std::string& id, const std::string& kind,
                      std::initializer_list<std::string> inputs,
                      std::initializer_list<std::string> parameters = {});
  void loss(const std::string& logits);  // cross_entropy "loss" of the logits and the targets

  wire::Graph message;
};

struct Gpt2Shape {
  std::int64_t layers = 2;
  std::int64_t width = 8;
  std::int64_t heads = 2;
  std::int64_t vocabulary = 17;
  std::int64_t positions = 16;
  double dropout = 0.1;
};

// GPT-2 with tied embedding and output head.
[[nodiscard]] wire::Graph gpt2_graph(const Gpt2Shape& shape);

// A valid DAG over [batch, sequence, width] values: every kind but causal_conv1d may occur, skips
// and tied weights included. `operators`: about how many.
[[nodiscard]] wire::Graph random_graph(std::uint64_t seed, int operators);

// 1f1b with four micro-batches of two sequences on stages that all have data, cut after the given
// operators; an empty list is one stage.
[[nodiscard]] proto::Plan plan_cut_after(const proto::Graph& graph,
                                         const std::vector<std::string>& last_operators);

}  // namespace longhaul::tests
