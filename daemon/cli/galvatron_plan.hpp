// A plan of Galvatron's search, for people and for programs.
#pragma once

#include "scheduler/galvatron/search.hpp"

#include <string>

namespace longhaul::daemon {

// One table row per pipeline stage, and what the plan comes to.
[[nodiscard]] std::string galvatron_plan_text(const scheduler::galvatron::FoundPlan& plan);

// {candidates, samples_per_s, pipeline_degree, layers, embedding_tensor_degree} on one line:
// candidates and layers as lists of strategies' names, of layers one per layer from the first on;
// embedding_tensor_degree is the devices that share a sample in embedding and head, by tensor
// parallelism or Ulysses.
[[nodiscard]] std::string galvatron_plan_json(const scheduler::galvatron::FoundPlan& plan);

}  // namespace longhaul::daemon
