// Mean cross entropy of the targets, with the softmax done block by block while it is in the cache.
#include "compnode/execution/operators/operator_classes.hpp"

#include <algorithm>

namespace longhaul::compnode {
namespace {

// Rows that are worked on together: about a megabyte on a CPU, everything on a GPU.
std::int64_t rows_per_block(const at::Tensor& logits) {
  if (!logits.device().is_cpu()) return logits.size(0);
  constexpr std::int64_t kBlockBytes = 1 << 20;
  return std::max<std::int64_t>(1, kBlockBytes / (logits.size(1) * 4));
}

template <class Body>
void for_each_block(const at::Tensor& rows, Body body) {
  const std::int64_t block = rows_per_block(rows);
  const std::int64_t blocks = (rows.size(0) + block - 1) / block;
  at::parallel_for(0, blocks, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      body(i * block, std::min(block, rows.size(0) - i * block));
    }
  });
}

// Turns `rows` [N, V] into exp(row - max) in place; `sums` and `losses` are fp32 [N].
void exponentials(at::Tensor rows, const at::Tensor& targets, at::Tensor sums, at::Tensor losses) {
  for_each_block(rows, [&](std::int64_t first, std::int64_t count) {
    at::Tensor block = rows.narrow(0, first, count);
    const at::Tensor target = targets.narrow(0, first, count).unsqueeze(1);
    at::Tensor work = block.to(at::kFloat);  // the block itself in fp32, a copy in bf16
    work.sub_(work.amax({1}, true));
    const at::Tensor chosen = work.gather(1, target);
    work.exp_();
    const at::Tensor sum = work.sum({1}, true);
    losses.narrow(0, first, count).copy_(sum.log().sub_(chosen).squeeze(1));
    sums.narrow(0, first, count).copy_(sum.squeeze(1));
    if (!work.is_same(block)) block.copy_(work);
  });
}

}  // namespace

at::Tensor CrossEntropy::forward(Tensors inputs, Tensors, const ExecutionPoint& point,
                                 Kept* kept) const {
  const std::int64_t vocabulary = inputs[0].size(-1);
  at::Tensor rows = inputs[0].view({-1, vocabulary});
  if (!point.may_overwrite_input) rows = rows.clone();
  const at::Tensor targets = inputs[1].reshape({-1});
  const auto options = rows.options().dtype(at::kFloat);
  const at::Tensor sums = at::empty({rows.size(0)}, options);
  const at::Tensor losses = at::empty({rows.size(0)}, options);
  exponentials(rows, targets, sums, losses);
  if (kept != nullptr) {
    kept->inputs = {at::Tensor(), targets};
    kept->extra = {rows.view_as(inputs[0]), sums};
  }
  return losses.mean();
}

std::vector<at::Tensor> CrossEntropy::backward_input(const at::Tensor& output_gradient, Tensors,
                                                     Kept& kept) const {
  // d loss / d logits = (softmax - one_hot(target)) / rows, times the gradient of the loss.
  const at::Tensor gradient = std::move(kept.extra[0]);
  const at::Tensor rows = gradient.view({-1, gradient.size(-1)});
  const at::Tensor sums = kept.extra[1];
  const at::Tensor targets = kept.inputs[1];
  const double scale = output_gradient.item<double>() / static_cast<double>(rows.size(0));
  for_each_block(rows, [&](std::int64_t first, std::int64_t count) {
    at::Tensor block = rows.narrow(0, first, count);
    const at::Tensor factor = sums.narrow(0, first, count).reciprocal().mul_(scale).unsqueeze(1);
    block.mul_(factor);
    const at::Tensor target = targets.narrow(0, first, count).unsqueeze(1);
    block.scatter_add_(1, target, at::full_like(target, -scale, block.options()));
  });
  return {gradient, at::Tensor()};
}

}  // namespace longhaul::compnode
