// AdamW in blocks that stay in the cache, built from LibTorch's elementwise kernels.
#include "compnode/execution/adamw.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace longhaul::compnode {
namespace {

// Elements that are updated together: four arrays of this many floats fit a core's cache; on a
// device what is computed between takes no memory to speak of.
std::int64_t block_elements(const at::Tensor& tensor) {
  return tensor.device().is_cpu() ? 1 << 15 : 1 << 22;
}

}  // namespace

double learning_rate_at(const wire::Training& training, std::uint64_t step) {
  const double peak = training.optimizer().learning_rate();
  const auto& schedule = training.schedule();
  if (step < schedule.warmup_steps()) {
    return peak * static_cast<double>(step + 1) / static_cast<double>(schedule.warmup_steps());
  }
  if (schedule.decay() == "constant" || training.steps() <= schedule.warmup_steps()) return peak;
  const double t = static_cast<double>(step - schedule.warmup_steps()) /
                   static_cast<double>(training.steps() - schedule.warmup_steps());
  const double cosine = 0.5 * (1.0 + std::cos(std::numbers::pi * std::min(t, 1.0)));
  return peak * (schedule.final() + (1.0 - schedule.final()) * cosine);
}

double squared_norm(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.reshape({-1});
  const std::int64_t block = block_elements(flat);
  const std::int64_t blocks = (flat.numel() + block - 1) / block;
  std::vector<double> partial(static_cast<std::size_t>(blocks));
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t count = std::min(block, flat.numel() - i * block);
      const at::Tensor wide = flat.narrow(0, i * block, count).to(at::kDouble);
      partial[static_cast<std::size_t>(i)] = wide.dot(wide).item<double>();
    }
  });
  double sum = 0.0;
  for (const double value : partial) sum += value;
  return sum;
}

AdamW::AdamW(ParameterStore& parameters, const wire::Optimizer& settings)
    : parameters_(parameters), settings_(settings) {
  for (const StageParameter& entry : parameters.parameters()) {
    moments_.push_back({at::zeros_like(entry.master), at::zeros_like(entry.master)});
  }
}

void AdamW::apply(const Update& update) {
  for (std::size_t i = 0; i < moments_.size(); ++i) {
    StageParameter& entry = parameters_.parameters()[i];
    const std::int64_t elements = entry.master.numel();
    const std::int64_t block = block_elements(entry.master);
    at::parallel_for(0, (elements + block - 1) / block, 1,
                     [&](std::int64_t begin, std::int64_t end) {
                       for (std::int64_t b = begin; b < end; ++b) {
                         apply_block(update, entry, moments_[i], b * block,
                                     std::min(block, elements - b * block));
                       }
                     });
  }
  parameters_.refresh_working_copies();
}

void AdamW::apply_block(const Update& update, StageParameter& entry, Moments& moments,
                        std::int64_t first, std::int64_t count) const {
  const auto block = [&](const at::Tensor& tensor) {
    return tensor.view({-1}).narrow(0, first, count);
  };
  at::Tensor parameter = block(entry.master);
  at::Tensor gradient = block(entry.uses.front().gradient);
  at::Tensor mean = block(moments.mean);
  at::Tensor variance = block(moments.variance);
  const auto t = static_cast<double>(update.step + 1);
  const double mean_correction = 1.0 - std::pow(settings_.beta1(), t);
  const double variance_correction = 1.0 - std::pow(settings_.beta2(), t);

  if (update.gradient_scale != 1.0) gradient.mul_(update.gradient_scale);
  const proto::Parameter& described = parameters_.graph().parameters[entry.index.value];
  if (described.weight_decay && settings_.weight_decay() != 0.0) {
    parameter.mul_(1.0 - update.learning_rate * settings_.weight_decay());
  }
  mean.mul_(settings_.beta1()).add_(gradient, 1.0 - settings_.beta1());
  variance.mul_(settings_.beta2()).addcmul_(gradient, gradient, 1.0 - settings_.beta2());
  const at::Tensor denominator =
      variance.sqrt().div_(std::sqrt(variance_correction)).add_(settings_.epsilon());
  parameter.addcdiv_(mean, denominator, -update.learning_rate / mean_correction);
}

}  // namespace longhaul::compnode
