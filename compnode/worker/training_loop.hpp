// The life of a stage on its device thread: steps, evaluations, checkpoints, the export.
#pragma once

#include "compnode/execution/shard.hpp"
#include "compnode/files/checkpoint_writer.hpp"
#include "compnode/worker/data_feed.hpp"
#include "compnode/worker/preparation.hpp"
#include "compnode/worker/stage_links.hpp"
#include "compnode/worker/tied_gradients.hpp"
#include "proto/control.pb.h"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace longhaul::compnode {

class TrainingLoop {
 public:
  struct Hooks {
    // Reports go to the coordinator; called on the loop's own thread and the checkpoint writer's.
    std::function<void(wire::WorkerEvent)> report;
    // A folder that an operator wants the model in, once per request; asked for on stage 0 only.
    std::function<std::optional<std::string>()> export_request;
  };

  // `stage` and `links` outlive the loop.
  TrainingLoop(PreparedStage& stage, StageLinks& links, Hooks hooks);

  // Trains to the end. Throws proto::Failed: kNumeric where the training produced a NaN or an
  // infinity, kCancelled or kLost as the links were closed with.
  void run();

 private:
  struct StepEnd {
    double loss = 0.0;
    double gradient_norm = 0.0;
    bool export_requested = false;
  };

  void run_step(std::uint64_t step);
  void run_schedule(std::uint64_t step, double& loss_sum);
  // Seconds of computation.
  double forward(const Moment& moment, double& loss_sum);
  double backward_input(const Moment& moment);
  [[nodiscard]] std::vector<ValueTensor> inputs_of(const Moment& moment, std::int64_t sequences);
  void send_data(const Moment& moment, const DataFeed::Batch& batch);
  // How a micro-batch's forward was computed, for who has to ask again.
  struct Computed {
    Moment moment;
    ExecutionPoint point;
    const std::vector<ValueTensor>& inputs;
  };
  void send_outputs(const Computed& forward, const std::vector<ValueTensor>& outputs);
  // The error of a boundary tensor that is not finite, and the operator that made it so.
  [[nodiscard]] proto::Error explained(proto::Error error, const Computed& forward);
  [[nodiscard]] static proto::Error not_finite_loss(const Moment& moment);
  [[nodiscard]] std::string numeric_advice(std::uint64_t step) const;

  [[nodiscard]] StepEnd agree(std::uint64_t step, double loss_sum);
  [[noreturn]] void diagnose(std::uint64_t step, const std::vector<double>& norms);
  // Where the backward pass first went wrong, by the parameters' squared gradient norms.
  [[nodiscard]] std::string bad_gradient(const std::vector<double>& norms) const;
  // Mean over the held-out sequences, on the last stage; elsewhere meaningless.
  double holdout_loss(std::uint64_t steps_done, wire::TensorHeader::Phase phase);
  void evaluate(std::uint64_t steps_done);
  void checkpoint(std::uint64_t steps_done);
  void export_model_to(std::uint64_t steps_done, const std::string& folder);
  [[nodiscard]] wire::StageReport stage_report() const;
  void report(wire::WorkerEvent event) const;

  [[nodiscard]] proto::StageIndex owner_of(proto::ParameterIndex parameter) const;
  [[nodiscard]] bool is_last() const { return stage_.stage == stage_.plan.last_stage(); }
  [[nodiscard]] std::uint32_t stage_count() const {
    return static_cast<std::uint32_t>(stage_.plan.stages.size());
  }

  PreparedStage& stage_;
  StageLinks& links_;
  Hooks hooks_;
  Shard shard_;
  std::optional<DataFeed> feed_;
  std::vector<std::vector<proto::ParameterIndex>> owned_;  // by stage: parameters it answers for
  TiedGradients tied_;
  std::string export_folder_;  // of the latest request
  std::uint32_t exports_ = 0;  // so far; tells their messages apart
  std::uint64_t cursor_ = 0;
  std::uint64_t holdout_sequences_ = 0;  // that evaluations use; known after the first step
  double compute_s_ = 0.0;
  wire::StepTimes times_;  // of the running step, or of the last
  std::uint64_t micro_batches_done_ = 0;
  std::uint64_t checkpointed_ = 0;  // steps done when the newest checkpoint was taken
  std::unique_ptr<CheckpointWriter> checkpoints_;  // last: its thread reports
};

}  // namespace longhaul::compnode
