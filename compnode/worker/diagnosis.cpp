// TrainingLoop: finds where a NaN came from, and says so.
#include "compnode/worker/failure.hpp"
#include "compnode/worker/training_loop.hpp"

#include <fmt/format.h>

#include <cmath>

namespace longhaul::compnode {

using proto::StageIndex;
using Phase = wire::TensorHeader;

std::string TrainingLoop::numeric_advice(std::uint64_t step) const {
  const std::string advice = step == stage_.first_step && !stage_.job.model().from().empty()
                                 ? fmt::format("check the weights in {}", stage_.job.model().from())
                                 : "a lower learning rate, a longer warm-up or clip_norm may help";
  const std::uint64_t every = stage_.job.checkpoint().every();
  return advice +
         (every > 0 && step >= every ? ", from the last checkpoint, whose numbers are finite" : "");
}

proto::Error TrainingLoop::not_finite_loss(const Moment& moment) {
  return {proto::ErrorKind::kNumeric,
          fmt::format("step {}, micro-batch {}: the loss became NaN or infinite", moment.step + 1,
                      moment.micro_batch.value)};
}

proto::Error TrainingLoop::explained(proto::Error error, const Computed& forward) {
  // Inputs are finite: whoever sent them, and the link, made sure. So the operator is one of ours.
  std::string first;
  (void)shard_.forward(forward.moment.micro_batch, forward.point, forward.inputs, false,
                       [&](proto::OperatorIndex op, const at::Tensor& out) {
                         if (!first.empty() || at::isfinite(out).all().item<bool>()) return;
                         first = stage_.graph.operators[op.value].id;
                       });
  if (!first.empty())
    error.message += fmt::format("; the first operator to produce it is '{}'", first);
  const bool training = forward.moment.phase == Phase::TRAINING;
  error.message += "; " + numeric_advice(training ? forward.moment.step : forward.moment.step - 1);
  return error;
}

void TrainingLoop::diagnose(std::uint64_t step, const std::vector<double>& norms) {
  // No stage has applied the step, so the forward passes can be repeated with every output watched.
  constexpr double kNothing = -1.0;
  std::vector<double> first{kNothing, kNothing};  // micro-batch, operator
  for (std::uint32_t m = 0; m < stage_.plan.micro_batches; ++m) {
    const Moment moment{Phase::DIAGNOSIS, step, proto::MicroBatchIndex{m}};
    const auto inputs = inputs_of(moment, stage_.plan.micro_batch_size);
    ExecutionPoint point;
    point.seed = stage_.job.training().seed();
    point.step = step;
    point.first_sequence = std::uint64_t{m} * stage_.plan.micro_batch_size;
    const auto result =
        shard_.forward(moment.micro_batch, point, inputs, false,
                       [&](proto::OperatorIndex op, const at::Tensor& out) {
                         if (first[0] == kNothing && !at::isfinite(out).all().item<bool>()) {
                           first = {static_cast<double>(m), static_cast<double>(op.value)};
                         }
                       });
    links_.send_outputs(moment, result.outputs);
  }
  const Moment end{Phase::DIAGNOSIS, step, {}};
  links_.broadcast(end, first);
  for (std::uint32_t s = 0; s < stage_count(); ++s) {
    if (s == stage_.stage.value) continue;
    const auto theirs = links_.receive_numbers(end, StageIndex{s}, 2);
    if (theirs[0] != kNothing && (first[0] == kNothing || theirs < first)) first = theirs;
  }
  // All know the same now and say the same: one that only left would be a lost neighbour to who has
  // not read the others' numbers yet, and the job would end by whose word comes first.
  std::string what = "the loss";
  std::string where;
  if (first[0] != kNothing) {
    const proto::OperatorIndex index{static_cast<std::uint32_t>(first[1])};
    where = fmt::format("the first operator to produce it is '{}' of stage {}, in micro-batch {}",
                        stage_.graph.operators[index.value].id, stage_.plan.stage_of(index).value,
                        first[0]);
  } else {
    what = "a gradient";
    where = bad_gradient(norms);
  }
  throw proto::Failed(
      {proto::ErrorKind::kNumeric, fmt::format("step {}: {} became NaN or infinite; {}; {}",
                                               step + 1, what, where, numeric_advice(step))});
}

// The backward pass goes from the last operator to the first: so does who can be the cause.
std::string TrainingLoop::bad_gradient(const std::vector<double>& norms) const {
  for (auto op = stage_.graph.operators.rbegin(); op != stage_.graph.operators.rend(); ++op) {
    for (const proto::ParameterIndex parameter : op->parameters) {
      if (std::isfinite(norms[parameter.value])) continue;
      const auto index = *stage_.graph.find_operator(op->id);
      return fmt::format(
          "the forward pass was finite, the gradient of '{}' is not; the first operator to produce "
          "it, in the backward pass, is '{}' of stage {}",
          stage_.graph.parameters[parameter.value].name, op->id, stage_.plan.stage_of(index).value);
    }
  }
  return "each gradient is finite, the sum of their squares is not";
}

}  // namespace longhaul::compnode
