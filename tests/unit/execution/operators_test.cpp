// Every operator's own differentiation against LibTorch's autograd, and what it keeps.
#include "compnode/execution/operators/operator.hpp"
#include "compnode/execution/random_mask.hpp"
#include "proto/saved_values.hpp"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <torch/csrc/autograd/autograd.h>
#pragma GCC diagnostic pop
#include <doctest/doctest.h>

#include <functional>
#include <set>
#include <vector>

namespace longhaul::compnode {
namespace {

using proto::OperatorKind;
using Reference =
    std::function<at::Tensor(const std::vector<at::Tensor>&, const std::vector<at::Tensor>&)>;

at::Tensor random(at::IntArrayRef shape) { return at::randn(shape).mul_(0.7); }

proto::Operator describe(OperatorKind kind) {
  proto::Operator op;
  op.id = "tested";
  op.kind = kind;
  return op;
}

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  const double scale = std::max(1e-12, b.abs().max().item<double>());
  return a.sub(b).abs().max().item<double>() / scale;
}

// Runs the operator forward and backward, and the reference under autograd; compares everything.
void check_operator(const proto::Operator& op, const std::vector<at::Tensor>& inputs,
                    const std::vector<at::Tensor>& parameters, const Reference& reference) {
  const auto executed = make_operator(op, proto::OperatorIndex{3});
  Kept kept;
  const ExecutionPoint point{.seed = 5, .step = 2, .first_sequence = 4, .training = true};
  const at::Tensor out = executed->forward(inputs, parameters, point, &kept);
  const at::Tensor out_gradient = out.dim() == 0 ? at::ones({}) : random(out.sizes());
  std::vector<at::Tensor> weight_gradients;
  for (const at::Tensor& parameter : parameters)
    weight_gradients.push_back(at::ones_like(parameter));
  const auto input_gradients = executed->backward_input(out_gradient, parameters, kept);
  executed->backward_weight(out_gradient, parameters, kept, weight_gradients);

  std::vector<at::Tensor> leaves;
  std::vector<at::Tensor> reference_inputs;
  std::vector<at::Tensor> reference_parameters;
  for (const at::Tensor& input : inputs) {
    reference_inputs.push_back(input.clone());
    if (input.scalar_type() == at::kFloat)
      leaves.push_back(reference_inputs.back().requires_grad_());
  }
  for (const at::Tensor& parameter : parameters) {
    leaves.push_back(reference_parameters.emplace_back(parameter.clone()).requires_grad_());
  }
  const at::Tensor expected = reference(reference_inputs, reference_parameters);
  CHECK(relative_difference(out, expected.detach()) < 1e-5);
  const auto gradients = torch::autograd::grad({expected}, leaves, {out_gradient});
  std::size_t next = 0;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].scalar_type() != at::kFloat) continue;
    CHECK(relative_difference(input_gradients[i], gradients[next++]) < 2e-5);
  }
  for (const at::Tensor& gradient : weight_gradients) {  // accumulated onto ones
    CHECK(relative_difference(gradient.sub(1.0), gradients[next++]) < 2e-5);
  }
}

}  // namespace

TEST_CASE("operators: gradients agree with autograd") {
  at::manual_seed(1);
  const at::Tensor x = random({2, 5, 8});
  const at::Tensor tokens = at::randint(0, 11, {2, 5}, at::kLong);

  SUBCASE("embedding") {
    check_operator(describe(OperatorKind::kEmbedding), {tokens}, {random({11, 8})},
                   [](auto& in, auto& p) { return at::embedding(p[0], in[0]); });
  }
  SUBCASE("add_position") {
    check_operator(describe(OperatorKind::kAddPosition), {x}, {random({9, 8})},
                   [](auto& in, auto& p) { return in[0] + p[0].narrow(0, 0, 5); });
  }
  SUBCASE("layer_norm") {
    check_operator(describe(OperatorKind::kLayerNorm), {x}, {random({8}), random({8})},
                   [](auto& in, auto& p) { return at::layer_norm(in[0], {8}, p[0], p[1], 1e-5); });
  }
  SUBCASE("linear, weight out by in") {
    check_operator(describe(OperatorKind::kLinear), {x}, {random({6, 8}), random({6})},
                   [](auto& in, auto& p) { return at::linear(in[0], p[0], p[1]); });
  }
  SUBCASE("linear, weight in by out, without bias") {
    auto op = describe(OperatorKind::kLinear);
    op.weight_is_in_out = true;
    check_operator(op, {x}, {random({8, 6})},
                   [](auto& in, auto& p) { return at::matmul(in[0], p[0]); });
  }
  SUBCASE("gelu, tanh and exact") {
    auto op = describe(OperatorKind::kGelu);
    check_operator(op, {x}, {}, [](auto& in, auto&) { return at::gelu(in[0], "tanh"); });
    op.gelu_tanh = false;
    check_operator(op, {x}, {}, [](auto& in, auto&) { return at::gelu(in[0]); });
  }
  SUBCASE("relu, silu, tanh, sigmoid") {
    check_operator(describe(OperatorKind::kRelu), {x}, {},
                   [](auto& in, auto&) { return at::relu(in[0]); });
    check_operator(describe(OperatorKind::kSilu), {x}, {},
                   [](auto& in, auto&) { return at::silu(in[0]); });
    check_operator(describe(OperatorKind::kTanh), {x}, {},
                   [](auto& in, auto&) { return at::tanh(in[0]); });
    check_operator(describe(OperatorKind::kSigmoid), {x}, {},
                   [](auto& in, auto&) { return at::sigmoid(in[0]); });
  }
  SUBCASE("add, multiply") {
    check_operator(describe(OperatorKind::kAdd), {x, random({2, 5, 8})}, {},
                   [](auto& in, auto&) { return in[0] + in[1]; });
    check_operator(describe(OperatorKind::kMultiply), {x, random({2, 5, 8})}, {},
                   [](auto& in, auto&) { return in[0] * in[1]; });
  }
  SUBCASE("causal_conv1d") {
    check_operator(describe(OperatorKind::kCausalConv1d), {x}, {random({6, 8, 3}), random({6})},
                   [](auto& in, auto& p) {
                     const auto padded = at::constant_pad_nd(in[0].transpose(1, 2), {2, 0});
                     return at::conv1d(padded, p[0], p[1]).transpose(1, 2);
                   });
  }
  SUBCASE("cross_entropy") {
    check_operator(describe(OperatorKind::kCrossEntropy), {random({2, 5, 11}), tokens}, {},
                   [](auto& in, auto&) {
                     return at::cross_entropy_loss(in[0].view({10, 11}), in[1].view({10}));
                   });
  }
  SUBCASE("dropout") {
    auto op = describe(OperatorKind::kDropout);
    op.rate = 0.25;
    const at::Tensor mask = random_mask({5, 2, 3, 4}, 0.25, {2, 5, 8}, at::kCPU);
    check_operator(op, {x}, {}, [&](auto& in, auto&) { return in[0] * mask / 0.75; });
  }
}

TEST_CASE("attention: causal, scaled, with dropout of the probabilities, as autograd has it") {
  at::manual_seed(2);
  for (const double rate : {0.0, 0.2}) {
    auto op = describe(OperatorKind::kAttention);
    op.heads = 2;
    op.rate = rate;
    const at::Tensor mask = random_mask({5, 2, 3, 4}, rate, {3, 2, 6, 6}, at::kCPU);
    check_operator(op, {random({3, 6, 24})}, {}, [&](auto& in, auto&) {
      const auto parts = in[0].view({3, 6, 3, 2, 4}).permute({2, 0, 3, 1, 4});
      const auto hidden = at::ones({6, 6}, at::kBool).triu(1);
      const auto scores = at::matmul(parts[0], parts[1].transpose(-1, -2)) / 2.0;
      const auto weights = at::softmax(scores.masked_fill(hidden, -1e30), -1) * mask / (1.0 - rate);
      return at::matmul(weights, parts[2]).transpose(1, 2).reshape({3, 6, 8});
    });
  }
}

TEST_CASE("cross_entropy: overwriting the logits gives the same loss and gradient") {
  at::manual_seed(3);
  const at::Tensor logits = random({2, 5, 40000});
  const at::Tensor targets = at::randint(0, 40000, {2, 5}, at::kLong);
  const auto op = make_operator(describe(OperatorKind::kCrossEntropy), proto::OperatorIndex{0});
  std::vector<at::Tensor> losses;
  std::vector<at::Tensor> gradients;
  for (const bool overwrite : {false, true}) {
    const at::Tensor given = logits.clone();
    Kept kept;
    const ExecutionPoint point{.training = true, .may_overwrite_input = overwrite};
    losses.push_back(op->forward(std::vector{given, targets}, {}, point, &kept));
    gradients.push_back(op->backward_input(at::full({}, 0.5), {}, kept)[0]);
    CHECK(given.equal(logits) == !overwrite);
  }
  CHECK(losses[0].equal(losses[1]));
  CHECK(gradients[0].equal(gradients[1]));
}

TEST_CASE("operators: what forward keeps is what saved_values says") {
  at::manual_seed(4);
  const auto check = [](proto::Operator op, const std::vector<at::Tensor>& inputs,
                        const std::vector<at::Tensor>& parameters) {
    Kept kept;
    const at::Tensor out = make_operator(op, proto::OperatorIndex{0})
                               ->forward(inputs, parameters, {.may_overwrite_input = true}, &kept);
    std::set<const void*> seen;
    std::size_t bytes = 0;
    for (const auto* tensors : {&kept.inputs, &kept.extra}) {
      for (const at::Tensor& tensor : *tensors) {
        if (tensor.defined() && seen.insert(tensor.data_ptr()).second) bytes += tensor.nbytes();
      }
    }
    const auto saved = proto::saved_values(op, inputs[0].sizes().vec(), out.sizes().vec());
    std::size_t expected = static_cast<std::size_t>(4 * saved.activation_elements +
                                                    4 * saved.fp32_elements + saved.mask_bytes);
    for (std::size_t i = 0; i < inputs.size(); ++i)
      expected += saved.inputs[i] ? inputs[i].nbytes() : 0;
    if (saved.output) expected += out.nbytes();
    CHECK_MESSAGE(bytes == expected, proto::operator_name(op.kind));
  };
  const at::Tensor x = random({2, 5, 8});
  const at::Tensor tokens = at::randint(0, 11, {2, 5}, at::kLong);
  auto attention = describe(OperatorKind::kAttention);
  attention.heads = 2;
  attention.rate = 0.1;
  auto dropout = describe(OperatorKind::kDropout);
  dropout.rate = 0.1;
  check(describe(OperatorKind::kEmbedding), {tokens}, {random({11, 8})});
  check(describe(OperatorKind::kAddPosition), {x}, {random({9, 8})});
  check(describe(OperatorKind::kLayerNorm), {x}, {random({8}), random({8})});
  check(describe(OperatorKind::kLinear), {x}, {random({6, 8})});
  check(attention, {random({2, 5, 24})}, {});
  check(describe(OperatorKind::kGelu), {x}, {});
  check(describe(OperatorKind::kRelu), {x}, {});
  check(describe(OperatorKind::kSilu), {x}, {});
  check(describe(OperatorKind::kTanh), {x}, {});
  check(describe(OperatorKind::kSigmoid), {x}, {});
  check(describe(OperatorKind::kAdd), {x, x}, {});
  check(describe(OperatorKind::kMultiply), {x, random({2, 5, 8})}, {});
  check(dropout, {x}, {});
  check(describe(OperatorKind::kCausalConv1d), {x}, {random({6, 8, 3})});
  check(describe(OperatorKind::kCrossEntropy), {random({2, 5, 11}), tokens}, {});
}

}  // namespace longhaul::compnode
