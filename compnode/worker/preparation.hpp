// From an assignment to a stage that is ready to train: everything checked, loaded and allocated.
#pragma once

#include "compnode/data/dataset.hpp"
#include "compnode/execution/adamw.hpp"
#include "compnode/execution/parameter_store.hpp"
#include "proto/compression_setting.hpp"
#include "proto/control.pb.h"
#include "proto/error.hpp"
#include "proto/plan.hpp"

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace longhaul::compnode {

// Does not move: the parts refer to each other.
struct PreparedStage {
  wire::Job job;
  proto::Graph graph;
  proto::Plan plan;
  proto::StageIndex stage;
  std::string job_id;
  std::vector<proto::Shape> shapes;  // of every value, for one micro-batch
  at::Device device{at::kCPU};
  at::ScalarType precision = at::kFloat;
  proto::CompressionSetting compression;
  std::optional<TokenDataset> data;  // where the plan says that the stage has data
  std::unique_ptr<ParameterStore> parameters;
  std::unique_ptr<AdamW> optimizer;
  std::uint64_t first_step = 0;    // steps applied so far
  std::uint64_t data_cursor = 0;   // training sequences drawn so far
  std::vector<std::string> notes;  // that the user should read; they keep nothing from going on

  PreparedStage() = default;
  PreparedStage(const PreparedStage&) = delete;
  PreparedStage& operator=(const PreparedStage&) = delete;
};

[[nodiscard]] proto::Result<std::unique_ptr<PreparedStage>> prepare(
    const wire::Assignment& assignment);

// What can be checked of a job on this host without starting anything: data, tokenizer, weights,
// checkpoints, the export folder. Every error, in the order of the job file; and notes as above.
struct Preflight {
  std::vector<proto::Error> errors;
  std::vector<std::string> notes;
};
// `progress` is called now and then while text is tokenised; what it throws ends that, and nothing
// of it stays.
[[nodiscard]] Preflight preflight(const wire::SubmitJob& submission,
                                  const std::function<void()>& progress);

// The size of the model's vocabulary: the number of logits, or of rows of the token embedding.
// kConfiguration if the graph has neither.
[[nodiscard]] proto::Result<std::int64_t> vocabulary_size(const proto::Graph& graph,
                                                          const std::vector<proto::Shape>& shapes);

}  // namespace longhaul::compnode
