// One step: the schedule, the agreement at its end, the update.
#include "compnode/worker/training_loop.hpp"

#include "compnode/files/graph_fingerprint.hpp"
#include "compnode/files/model_export.hpp"
#include "compnode/worker/failure.hpp"
#include "compnode/worker/resume_notes.hpp"
#include "proto/assert.hpp"
#include "proto/pipeline_schedule.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace longhaul::compnode {
namespace {

using Clock = std::chrono::steady_clock;
using proto::ParameterIndex;
using proto::StageIndex;
using Phase = wire::TensorHeader;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Of what is done once per micro-batch.
struct Mean {
  double sum_s = 0.0;
  double count = 0.0;

  void add(double time_s) {
    sum_s += time_s;
    ++count;
  }
  [[nodiscard]] double value() const { return count == 0.0 ? 0.0 : sum_s / count; }
};

// The numbers that stages exchange at the end of a step; then LinkControl's, then one squared norm
// per owned parameter.
enum StepNumber : std::size_t { kLossSum, kExportRequested, kHoldoutSequences, kFirstOfLinks };

// Of a device's tensor, copied at once: 16 MiB.
constexpr std::int64_t kPieceElements = 1 << 22;

// For a checkpoint: the tensor itself, not a copy of it; from a device in pieces, read when they
// are written.
OwnedTensor state_of(std::string name, const proto::Shape& shape, const at::Tensor& tensor) {
  const auto owner = std::make_shared<const at::Tensor>(tensor);
  OwnedTensor state{std::move(name), f32_view(shape, {}), owner};
  if (tensor.device().is_cpu()) {
    LONGHAUL_ASSERT(tensor.is_contiguous());
    state.view =
        f32_view(shape, {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())});
    return state;
  }
  state.read = [owner](const OwnedTensor::Take& take) -> proto::Result<void> {
    try {
      compute_beside_others(owner->device());
      const at::Tensor flat = owner->view({-1});
      for (std::int64_t first = 0; first < flat.numel(); first += kPieceElements) {
        const std::int64_t count = std::min(kPieceElements, flat.numel() - first);
        const at::Tensor piece = flat.narrow(0, first, count).to(at::kCPU);
        take({static_cast<const std::byte*>(piece.data_ptr()), piece.nbytes()});
      }
    } catch (...) {
      return error_of(std::current_exception());
    }
    return {};
  };
  return state;
}

}  // namespace

TrainingLoop::TrainingLoop(PreparedStage& stage, StageLinks& links, Hooks hooks)
    : stage_(stage),
      links_(links),
      hooks_(std::move(hooks)),
      shard_(stage.graph, stage.plan, stage.stage, *stage.parameters, stage.precision),
      owned_(stage.plan.stages.size()),
      tied_(stage.graph, stage.plan, stage.stage, *stage.parameters, links),
      cursor_(stage.data_cursor),
      checkpointed_(stage.first_step) {
  if (stage.data) {
    feed_.emplace(*stage.data,
                  DataFeed::Options{stage.job.training().seed(), stage.plan.micro_batch_size});
    const std::uint64_t wanted = stage.job.evaluation().sequences();
    const std::uint64_t held_out = stage.data->holdout_sequences();
    holdout_sequences_ = wanted == 0 ? held_out : std::min(wanted, held_out);
  }
  for (std::uint32_t s = 0; s < stage_count(); ++s) {
    for (const ParameterIndex parameter :
         proto::stage_parameters(stage.graph, stage.plan, StageIndex{s})) {
      if (owner_of(parameter).value == s) owned_[s].push_back(parameter);
    }
  }
  const wire::Checkpoint& settings = stage.job.checkpoint();
  if (settings.every() > 0) {
    checkpoints_ = std::make_unique<CheckpointWriter>(
        CheckpointWriter::Options{.directory = settings.directory(), .keep = settings.keep()},
        [this](std::uint64_t step, proto::Result<std::filesystem::path> written) {
          wire::WorkerEvent event;
          event.mutable_checkpoint()->set_step(step);
          if (written) {
            // The step's folder: the other stages' files are beside this one.
            event.mutable_checkpoint()->set_path(written->parent_path().string());
          } else {
            event.mutable_checkpoint()->set_error(written.error().message);
          }
          report(std::move(event));
        });
  }
}

StageIndex TrainingLoop::owner_of(ParameterIndex parameter) const {
  for (const proto::TiedParameter& tied : tied_.shared()) {
    if (tied.parameter == parameter) return tied.stages.front();
  }
  for (const proto::Operator& op : stage_.graph.operators) {
    if (std::find(op.parameters.begin(), op.parameters.end(), parameter) == op.parameters.end())
      continue;
    return stage_.plan.stage_of(*stage_.graph.find_operator(op.id));
  }
  LONGHAUL_ASSERT(false);
  return {};
}

void TrainingLoop::report(wire::WorkerEvent event) const {
  event.set_job_id(stage_.job_id);
  event.set_epoch(stage_.plan.epoch.value);
  event.set_stage(stage_.stage.value);
  hooks_.report(std::move(event));
}

wire::StageReport TrainingLoop::stage_report() const {
  wire::StageReport report;
  report.set_stage(stage_.stage.value);
  report.set_parameters(stage_.parameters->elements());
  report.set_peak_memory_bytes(tensor_memory_peak());
  if (micro_batches_done_ > 0) {
    report.set_compute_s_per_microbatch(compute_s_ / static_cast<double>(micro_batches_done_));
  }
  for (wire::LinkReport& link : links_.reports()) *report.add_links() = std::move(link);
  *report.mutable_times() = times_;
  return report;
}

void TrainingLoop::run() {
  const wire::Training& training = stage_.job.training();
  for (std::uint64_t step = stage_.first_step; step < training.steps(); ++step) {
    run_step(step);
    const std::uint64_t done = step + 1;
    const std::uint64_t every = stage_.job.evaluation().every();
    if (done == training.steps() || (every > 0 && done % every == 0)) evaluate(done);
    const std::uint64_t checkpoint_every = stage_.job.checkpoint().every();
    if (checkpoint_every > 0 && (done % checkpoint_every == 0 || done == training.steps()))
      checkpoint(done);
  }
  if (checkpoints_) checkpoints_->drain();
  if (!stage_.job.export_directory().empty()) {
    export_model_to(std::max(stage_.first_step, training.steps()), stage_.job.export_directory());
  }
  // A stage that left while another still needs something of it would look like a lost one.
  const Moment end{Phase::TRAINING, std::max(stage_.first_step, training.steps()), {}};
  links_.broadcast(end, {0.0});
  for (std::uint32_t s = 0; s < stage_count(); ++s) {
    if (s != stage_.stage.value) (void)links_.receive_numbers(end, StageIndex{s}, 0);
  }
  wire::WorkerEvent event;
  *event.mutable_finished()->mutable_stage() = stage_report();
  report(std::move(event));
}

void TrainingLoop::run_step(std::uint64_t step) {
  const auto start = Clock::now();
  const wire::Training& training = stage_.job.training();
  double loss_sum = 0.0;
  times_.Clear();
  wire::StepTimes ignored;  // of an evaluation before
  links_.take_times(ignored);
  run_schedule(step, loss_sum);
  links_.take_times(times_);
  const auto computed = Clock::now();
  tied_.sum(step);
  const StepEnd end = agree(step, loss_sum);
  tied_.store();  // every stage has told its norms, and so has what was sent to it
  times_.set_agreement_s(seconds_since(computed));
  const auto agreed = Clock::now();

  AdamW::Update update{step, learning_rate_at(training, step), 1.0};
  if (training.clip_norm() > 0.0) {
    update.gradient_scale = std::min(1.0, training.clip_norm() / (end.gradient_norm + 1e-6));
  }
  if (checkpoints_) checkpoints_->wait_until_read();
  stage_.optimizer->apply(update);
  stage_.parameters->zero_gradients();
  synchronize(stage_.device);
  cursor_ += training.batch();
  times_.set_update_s(seconds_since(agreed));
  times_.set_step_s(seconds_since(start));

  wire::WorkerEvent event;
  wire::StepReport& report_of_step = *event.mutable_step();
  report_of_step.set_step(step + 1);
  report_of_step.set_loss(end.loss);
  report_of_step.set_gradient_norm(end.gradient_norm);
  report_of_step.set_learning_rate(update.learning_rate);
  report_of_step.set_tokens(std::uint64_t{training.batch()} * stage_.job.data().sequence_length());
  report_of_step.set_step_time_s(seconds_since(start));
  *report_of_step.mutable_stage() = stage_report();
  report(std::move(event));
  if (end.export_requested) export_model_to(step + 1, {});
}

void TrainingLoop::run_schedule(std::uint64_t step, double& loss_sum) {
  const auto schedule =
      proto::pipeline_schedule(stage_.plan.schedule, {.stage = stage_.stage,
                                                      .stages = stage_count(),
                                                      .micro_batches = stage_.plan.micro_batches,
                                                      .run_ahead = stage_.plan.run_ahead});
  Mean forwards;
  Mean input_gradients;
  Mean weight_gradients;
  for (const proto::Action& action : schedule) {
    links_.check_open();  // a stop need not wait for the step's end
    const Moment moment{Phase::TRAINING, step, action.micro_batch};
    switch (action.kind) {
      case proto::ActionKind::kForward:
        forwards.add(forward(moment, loss_sum));
        // With zero-bubble there are input gradients long before there are weight gradients.
        links_.control().on_computed(forwards.value(),
                                     weight_gradients.count == 0.0
                                         ? 0.0
                                         : input_gradients.value() + weight_gradients.value());
        break;
      case proto::ActionKind::kBackwardInput:
        input_gradients.add(backward_input(moment));
        break;
      case proto::ActionKind::kBackwardWeight: {
        const auto start = Clock::now();
        shard_.backward_weight(action.micro_batch);
        synchronize(stage_.device);
        weight_gradients.add(seconds_since(start));
        ++micro_batches_done_;
        break;
      }
    }
  }
  times_.set_forward_s(forwards.sum_s);
  times_.set_backward_s(input_gradients.sum_s + weight_gradients.sum_s);
}

void TrainingLoop::send_data(const Moment& moment, const DataFeed::Batch& batch) {
  for (const proto::Boundary& boundary : links_.data_to_send()) {
    const bool targets = stage_.graph.data_inputs[boundary.value.value].targets;
    links_.send_data(moment, boundary, targets ? batch.targets : batch.tokens);
  }
}

std::vector<ValueTensor> TrainingLoop::inputs_of(const Moment& moment, std::int64_t sequences) {
  std::vector<ValueTensor> inputs;
  if (feed_) {
    const DataFeed::Batch batch =
        moment.phase == Phase::EVALUATION || moment.phase == Phase::EVALUATION_DENSE
            ? feed_->holdout(moment.micro_batch, sequences)
            : feed_->training(cursor_, moment.micro_batch);
    send_data(moment, batch);
    for (const proto::ValueIndex value : shard_.inputs()) {
      if (!stage_.graph.is_data_input(value)) continue;
      const bool targets = stage_.graph.data_inputs[value.value].targets;
      inputs.push_back({value, (targets ? batch.targets : batch.tokens).to(stage_.device)});
    }
  }
  for (ValueTensor& input : links_.receive_inputs(moment, sequences))
    inputs.push_back(std::move(input));
  return inputs;
}

void TrainingLoop::send_outputs(const Computed& forward, const std::vector<ValueTensor>& outputs) {
  try {
    links_.send_outputs(forward.moment, outputs);
  } catch (const proto::Failed& failed) {
    if (failed.error().kind != proto::ErrorKind::kNumeric) throw;
    throw proto::Failed(explained(failed.error(), forward));
  }
}

double TrainingLoop::forward(const Moment& moment, double& loss_sum) {
  const auto inputs = inputs_of(moment, stage_.plan.micro_batch_size);
  const auto start = Clock::now();
  ExecutionPoint point;
  point.seed = stage_.job.training().seed();
  point.step = moment.step;
  point.first_sequence = std::uint64_t{moment.micro_batch.value} * stage_.plan.micro_batch_size;
  const Shard::Forward result = shard_.forward(moment.micro_batch, point, inputs, true);
  const Computed computed{moment, point, inputs};
  if (result.loss.defined()) {
    const double loss = result.loss.item<double>();
    if (!std::isfinite(loss)) throw proto::Failed(explained(not_finite_loss(moment), computed));
    loss_sum += loss;
  }
  synchronize(stage_.device);
  const double computed_s = seconds_since(start);
  send_outputs(computed, result.outputs);
  return computed_s;
}

double TrainingLoop::backward_input(const Moment& moment) {
  const auto output_gradients = links_.receive_output_gradients(moment);
  const auto start = Clock::now();
  const auto gradients =
      shard_.backward_input(moment.micro_batch, output_gradients, 1.0 / stage_.plan.micro_batches);
  synchronize(stage_.device);
  const double computed_s = seconds_since(start);
  try {
    links_.send_input_gradients(moment, gradients);
  } catch (const proto::Failed& failed) {
    if (failed.error().kind != proto::ErrorKind::kNumeric) throw;
    proto::Error error = failed.error();
    error.message +=
        "; it is a gradient, the forward pass was finite; " + numeric_advice(moment.step);
    throw proto::Failed(error);
  }
  return computed_s;
}

TrainingLoop::StepEnd TrainingLoop::agree(std::uint64_t step, double loss_sum) {
  const Moment moment{Phase::TRAINING, step, {}};
  const auto export_to = stage_.stage.value == 0 && hooks_.export_request
                             ? hooks_.export_request()
                             : std::optional<std::string>();
  if (export_to) export_folder_ = *export_to;
  compute_s_ += times_.forward_s() + times_.backward_s();
  std::vector<double> mine{is_last() ? loss_sum : 0.0, export_to ? 1.0 : 0.0,
                           static_cast<double>(holdout_sequences_)};
  const double micro_batches = stage_.plan.micro_batches;
  const auto of_links = links_.control().numbers(times_.forward_s() / micro_batches,
                                                 times_.backward_s() / micro_batches);
  mine.insert(mine.end(), of_links.begin(), of_links.end());
  const std::size_t first_norm = mine.size();
  for (const ParameterIndex parameter : owned_[stage_.stage.value]) {
    mine.push_back(squared_norm(tied_.total(stage_.parameters->parameter(parameter))));
  }
  links_.broadcast(moment, mine);

  StepEnd end;
  std::vector<double> norms(stage_.graph.parameters.size(), 0.0);
  std::vector<std::vector<double>> told_of_links;
  for (std::uint32_t s = 0; s < stage_count(); ++s) {
    const auto numbers =
        s == stage_.stage.value
            ? mine
            : links_.receive_numbers(moment, StageIndex{s}, first_norm + owned_[s].size());
    end.loss += numbers[kLossSum];
    end.export_requested = end.export_requested || numbers[kExportRequested] != 0.0;
    if (s == 0) holdout_sequences_ = static_cast<std::uint64_t>(numbers[kHoldoutSequences]);
    const auto links = numbers.begin() + kFirstOfLinks;
    told_of_links.emplace_back(links, links + static_cast<std::ptrdiff_t>(of_links.size()));
    for (std::size_t i = 0; i < owned_[s].size(); ++i) {
      norms[owned_[s][i].value] = numbers[first_norm + i];
    }
  }
  double total = 0.0;
  for (const double norm : norms) total += norm;
  end.loss /= stage_.plan.micro_batches;
  end.gradient_norm = std::sqrt(total);
  if (!std::isfinite(end.loss) || !std::isfinite(total)) diagnose(step, norms);
  links_.control().end_step(step, end.loss, told_of_links);
  return end;
}

double TrainingLoop::holdout_loss(std::uint64_t steps_done, Phase::Phase phase) {
  const std::uint64_t size = stage_.plan.micro_batch_size;
  const std::uint64_t count = (holdout_sequences_ + size - 1) / size;
  const std::uint64_t window = 2 * std::uint64_t{stage_count()};  // micro-batches on their way
  const StageIndex last = stage_.plan.last_stage();
  double weighted_loss = 0.0;
  for (std::uint64_t m = 0; m < count; ++m) {
    const Moment moment{phase, steps_done, proto::MicroBatchIndex{static_cast<std::uint32_t>(m)}};
    const auto sequences = static_cast<std::int64_t>(std::min(size, holdout_sequences_ - m * size));
    if (stage_.stage.value == 0 && !is_last() && m >= window) {
      Moment done = moment;
      done.micro_batch = proto::MicroBatchIndex{static_cast<std::uint32_t>(m - window)};
      links_.receive_done(done, last);
    }
    links_.check_open();
    ExecutionPoint point;
    point.training = false;
    const auto inputs = inputs_of(moment, sequences);
    const auto result = shard_.forward(moment.micro_batch, point, inputs, false);
    send_outputs({moment, point, inputs}, result.outputs);
    if (!is_last()) continue;
    weighted_loss += result.loss.item<double>() * static_cast<double>(sequences);
    if (stage_count() > 1 && m + window < count) links_.send_done(moment, StageIndex{0});
  }
  return weighted_loss / static_cast<double>(holdout_sequences_);
}

void TrainingLoop::evaluate(std::uint64_t steps_done) {
  if (holdout_sequences_ == 0) return;
  const double loss = holdout_loss(steps_done, Phase::EVALUATION);
  std::optional<double> dense_loss;
  if (links_.compresses() && stage_count() > 1) {
    dense_loss = holdout_loss(steps_done, Phase::EVALUATION_DENSE);
  }
  if (!is_last()) return;
  wire::WorkerEvent event;
  event.mutable_evaluation()->set_step(steps_done);
  event.mutable_evaluation()->set_loss(loss);
  if (dense_loss) event.mutable_evaluation()->set_dense_loss(*dense_loss);
  event.mutable_evaluation()->set_tokens(holdout_sequences_ * stage_.job.data().sequence_length());
  report(std::move(event));
}

void TrainingLoop::checkpoint(std::uint64_t steps_done) {
  if (checkpointed_ == steps_done) return;
  checkpointed_ = steps_done;
  StageSnapshot snapshot;
  snapshot.info = {steps_done,    stage_.job.training().seed(), cursor_, fingerprint(stage_.graph),
                   stage_.job_id, settings_of(stage_.job)};
  snapshot.place = {stage_.stage.value, stage_count()};
  const auto add = [&](StateRole role, const proto::Parameter& parameter,
                       const at::Tensor& tensor) {
    snapshot.tensors.push_back(state_of(state_name(role, parameter.name), parameter.shape, tensor));
  };
  for (std::size_t i = 0; i < stage_.parameters->parameters().size(); ++i) {
    const StageParameter& entry = stage_.parameters->parameters()[i];
    const proto::Parameter& parameter = stage_.graph.parameters[entry.index.value];
    add(StateRole::kParameter, parameter, entry.master);
    add(StateRole::kExpAvg, parameter, stage_.optimizer->moments()[i].mean);
    add(StateRole::kExpAvgSq, parameter, stage_.optimizer->moments()[i].variance);
  }
  checkpoints_->submit(std::move(snapshot));
}

void TrainingLoop::export_model_to(std::uint64_t steps_done, const std::string& folder) {
  const Moment moment{Phase::TRAINING, steps_done, proto::MicroBatchIndex{exports_++}};
  if (stage_.stage.value != 0) {
    for (const ParameterIndex parameter : owned_[stage_.stage.value]) {
      links_.send_parameter(moment, stage_.graph.parameters[parameter.value].name,
                            stage_.parameters->parameter(parameter).master.clone());
    }
    return;
  }
  std::vector<at::Tensor> held;
  std::vector<NamedTensor> parameters;
  for (std::uint32_t i = 0; i < stage_.graph.parameters.size(); ++i) {
    const ParameterIndex index{i};
    const proto::Parameter& parameter = stage_.graph.parameters[i];
    const StageIndex owner = owner_of(index);
    held.push_back(owner == stage_.stage
                       ? stage_.parameters->parameter(index).master.to(at::kCPU)
                       : links_.receive_parameter(moment, owner, parameter.name, parameter.shape));
    parameters.push_back(
        {parameter.name,
         f32_view(parameter.shape,
                  {held.back().data_ptr<float>(), static_cast<std::size_t>(held.back().numel())})});
  }
  ExportOptions options;
  options.folder = folder.empty() ? export_folder_ : folder;
  if (!stage_.job.data().tokenizer().empty()) options.tokenizer = stage_.job.data().tokenizer();
  wire::WorkerEvent event;
  event.mutable_exported()->set_path(options.folder.string());
  if (const auto written = export_model(stage_.graph, parameters, options); !written) {
    event.mutable_exported()->set_error(written.error().message);
  }
  report(std::move(event));
}

}  // namespace longhaul::compnode
