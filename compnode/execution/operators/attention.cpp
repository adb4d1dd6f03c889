// Causal multi-head self-attention from fused queries, keys and values.
#include "compnode/execution/operators/operator_classes.hpp"
#include "compnode/execution/random_mask.hpp"

#include <array>
#include <cmath>
#include <limits>

namespace longhaul::compnode {
namespace {

// [B, T, 3C] -> queries, keys, values, each [B * heads, T, C / heads], contiguous.
std::array<at::Tensor, 3> split_heads(const at::Tensor& qkv, std::int64_t heads) {
  const std::int64_t batch = qkv.size(0);
  const std::int64_t sequence = qkv.size(1);
  const std::int64_t depth = qkv.size(2) / 3 / heads;
  const at::Tensor parts =
      qkv.view({batch, sequence, 3, heads, depth}).permute({2, 0, 3, 1, 4}).contiguous();
  const auto part = [&](std::int64_t i) {
    return parts.select(0, i).view({batch * heads, sequence, depth});
  };
  return {part(0), part(1), part(2)};
}

// 0 on and below the diagonal, -infinity above: [T, T].
at::Tensor causal_mask(std::int64_t sequence, const at::TensorOptions& options) {
  return at::full({sequence, sequence}, -std::numeric_limits<double>::infinity(), options).triu_(1);
}

double keep_scale(double rate) { return 1.0 / (1.0 - rate); }

}  // namespace

at::Tensor Attention::forward(Tensors inputs, Tensors, const ExecutionPoint& point,
                              Kept* kept) const {
  const at::Tensor& qkv = inputs[0];
  const std::int64_t batch = qkv.size(0);
  const std::int64_t sequence = qkv.size(1);
  const std::int64_t width = qkv.size(2) / 3;
  const auto [queries, keys, values] = split_heads(qkv, heads_);
  const double scale = 1.0 / std::sqrt(static_cast<double>(width / heads_));
  const at::Tensor scores = at::baddbmm(causal_mask(sequence, qkv.options()), queries,
                                        keys.transpose(1, 2), 1.0, scale);
  const at::Tensor probabilities = at::_softmax(scores, -1, false);
  at::Tensor dropped = probabilities;
  at::Tensor mask;
  if (point.training && rate_ > 0.0) {
    mask = random_mask({point.seed, point.step, index_.value, point.first_sequence}, rate_,
                       {batch, heads_, sequence, sequence}, qkv.device())
               .view(probabilities.sizes());
    dropped = apply_mask(probabilities, mask, keep_scale(rate_));
  }
  if (kept != nullptr) {
    kept->inputs = {qkv};
    kept->extra = {probabilities, mask};
  }
  return at::bmm(dropped, values)
      .view({batch, heads_, sequence, width / heads_})
      .transpose(1, 2)
      .reshape({batch, sequence, width});
}

std::vector<at::Tensor> Attention::backward_input(const at::Tensor& output_gradient, Tensors,
                                                  Kept& kept) const {
  const at::Tensor& qkv = kept.inputs[0];
  const std::int64_t batch = qkv.size(0);
  const std::int64_t sequence = qkv.size(1);
  const std::int64_t depth = qkv.size(2) / 3 / heads_;
  const auto [queries, keys, values] = split_heads(qkv, heads_);
  const at::Tensor& probabilities = kept.extra[0];
  const at::Tensor& mask = kept.extra[1];
  const at::Tensor gradient = output_gradient.view({batch, sequence, heads_, depth})
                                  .transpose(1, 2)
                                  .reshape({batch * heads_, sequence, depth});

  const std::array<std::int64_t, 3> head_rows{batch * heads_, sequence, depth};
  at::Tensor parts = at::empty({3, batch * heads_, sequence, depth}, qkv.options());
  at::Tensor part = parts.select(0, 2).view(head_rows);
  at::Tensor probability_gradient = at::bmm(gradient, values.transpose(1, 2));
  if (mask.defined()) {
    at::Tensor dropped = apply_mask(probabilities, mask, keep_scale(rate_));
    at::bmm_out(part, dropped.transpose(1, 2), gradient);
    dropped.reset();
    probability_gradient = apply_mask(probability_gradient, mask, keep_scale(rate_));
  } else {
    at::bmm_out(part, probabilities.transpose(1, 2), gradient);
  }
  const at::Tensor score_gradient =
      at::_softmax_backward_data(probability_gradient, probabilities, -1, qkv.scalar_type())
          .mul_(1.0 / std::sqrt(static_cast<double>(depth)));
  part = parts.select(0, 0).view(head_rows);
  at::bmm_out(part, score_gradient, keys);
  part = parts.select(0, 1).view(head_rows);
  at::bmm_out(part, score_gradient.transpose(1, 2), queries);
  return {parts.view({3, batch, heads_, sequence, depth})
              .permute({1, 3, 0, 2, 4})
              .reshape({batch, sequence, 3 * heads_ * depth})};
}

}  // namespace longhaul::compnode
