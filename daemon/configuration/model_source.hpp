// The front ends: from what a job names as its model to the operator DAG.
#pragma once

#include "proto/error.hpp"
#include "proto/graph.pb.h"
#include "proto/job.pb.h"

#include <cstddef>
#include <filesystem>
#include <vector>

namespace longhaul::daemon {

// Reads the job's config.json (`config`, or the one in the folder `from`) or graph file (`graph`).
// `training.dropout`, where the job gives it, overrides the model's own rates. The result has
// passed proto::Graph::from_wire and shape inference at the job's micro-batch and sequence length.
// Errors are kConfiguration and begin with the file's name.
[[nodiscard]] proto::Result<wire::Graph> build_graph(const wire::Job& job);

// Larger graph files are refused.
inline constexpr std::size_t kMaxGraphBytes = 64u << 20;

// Checks an operator graph as a job that names it would, at sequences of one token, which are the
// only ones that every model takes. Errors are kConfiguration.
[[nodiscard]] proto::Result<void> check_graph(const std::filesystem::path& file);

// What a profile is measured on: of a known family the same model with at most eight layers and
// with fewer, whose difference is the layers' (one graph where there is one layer); of a graph file
// the graph itself.
[[nodiscard]] proto::Result<std::vector<wire::Graph>> build_profile_graphs(const wire::Job& job);

}  // namespace longhaul::daemon
