// The loop that one writes by hand with LibTorch: the same GPT-2, autograd, AdamW, and nothing
// else.
#include "compnode/execution/torch.hpp"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wshadow"
#include <torch/types.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>
#pragma GCC diagnostic pop

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <malloc.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

namespace {

struct Settings {
  std::int64_t layers = 6;
  std::int64_t width = 256;
  std::int64_t heads = 4;
  std::int64_t vocabulary = 50257;
  std::int64_t sequence = 256;
  std::int64_t batch = 32;
  std::int64_t micro_batch = 4;
  double dropout = 0.1;
  int steps = 5;
  int threads = 2;
  at::Device device{at::kCPU};
};

class Gpt2 {
 public:
  explicit Gpt2(const Settings& settings) : s_(settings) {
    const std::int64_t c = s_.width;
    embedding_ = make({s_.vocabulary, c}, 0.02);
    positions_ = make({s_.sequence, c}, 0.02);
    for (std::int64_t i = 0; i < s_.layers; ++i) {
      blocks_.push_back({ones(c), make({c}, 0.0), make({3 * c, c}, 0.02), make({3 * c}, 0.0),
                         make({c, c}, 0.02), make({c}, 0.0), ones(c), make({c}, 0.0),
                         make({4 * c, c}, 0.02), make({4 * c}, 0.0), make({c, 4 * c}, 0.02),
                         make({c}, 0.0)});
    }
    norm_weight_ = ones(c);
    norm_bias_ = make({c}, 0.0);
    hidden_ = at::ones({s_.sequence, s_.sequence}, at::TensorOptions(s_.device).dtype(at::kBool))
                  .triu_(1);
  }

  at::Tensor loss(const at::Tensor& tokens, const at::Tensor& targets) const {
    at::Tensor x = at::embedding(embedding_, tokens) + positions_;
    x = at::dropout(x, s_.dropout, true);
    for (const auto& p : blocks_) {
      x = x + attention(at::layer_norm(x, {s_.width}, p[0], p[1]), p);
      at::Tensor y = at::linear(at::layer_norm(x, {s_.width}, p[6], p[7]), p[8], p[9]);
      y = at::linear(at::gelu(y, "tanh"), p[10], p[11]);
      x = x + at::dropout(y, s_.dropout, true);
    }
    x = at::layer_norm(x, {s_.width}, norm_weight_, norm_bias_);
    const at::Tensor logits = at::linear(x, embedding_);
    return at::cross_entropy_loss(logits.view({-1, s_.vocabulary}), targets.view({-1}));
  }

  [[nodiscard]] const std::vector<at::Tensor>& parameters() const { return parameters_; }

 private:
  at::Tensor make(at::IntArrayRef shape, double deviation) {
    return parameters_.emplace_back(at::randn(shape, s_.device).mul_(deviation).requires_grad_());
  }
  at::Tensor ones(std::int64_t size) {
    return parameters_.emplace_back(at::ones({size}, s_.device).requires_grad_());
  }

  at::Tensor attention(const at::Tensor& x, const std::vector<at::Tensor>& p) const {
    const std::int64_t batch = x.size(0);
    const std::int64_t depth = s_.width / s_.heads;
    const auto parts = at::linear(x, p[2], p[3])
                           .view({batch, s_.sequence, 3, s_.heads, depth})
                           .permute({2, 0, 3, 1, 4});
    at::Tensor scores =
        at::matmul(parts[0], parts[1].transpose(-1, -2)) / std::sqrt(static_cast<double>(depth));
    scores = at::softmax(scores.masked_fill(hidden_, -INFINITY), -1);
    scores = at::dropout(scores, s_.dropout, true);
    const at::Tensor out = at::matmul(scores, parts[2]).transpose(1, 2).reshape(x.sizes());
    return at::dropout(at::linear(out, p[4], p[5]), s_.dropout, true);
  }

  Settings s_;
  std::vector<at::Tensor> parameters_;
  at::Tensor embedding_;
  at::Tensor positions_;
  std::vector<std::vector<at::Tensor>> blocks_;
  at::Tensor norm_weight_;
  at::Tensor norm_bias_;
  at::Tensor hidden_;
};

double step_seconds(const Gpt2& model, torch::optim::AdamW& optimizer, const Settings& s) {
  const auto start = std::chrono::steady_clock::now();
  const std::int64_t micro_batches = s.batch / s.micro_batch;
  const auto numbers = at::TensorOptions(s.device).dtype(at::kLong);
  for (std::int64_t m = 0; m < micro_batches; ++m) {
    const at::Tensor tokens = at::randint(0, s.vocabulary, {s.micro_batch, s.sequence}, numbers);
    const at::Tensor targets = at::randint(0, s.vocabulary, {s.micro_batch, s.sequence}, numbers);
    (model.loss(tokens, targets) / static_cast<double>(micro_batches)).backward();
  }
  torch::nn::utils::clip_grad_norm_(model.parameters(), 1.0);
  optimizer.step();
  optimizer.zero_grad();
  longhaul::compnode::synchronize(s.device);
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

int main(int argc, char** argv) {
  Settings s;
  CLI::App app{
      "Times the steps of a GPT-2 written by hand with LibTorch; prints seconds, one per line."};
  app.add_option("--layers", s.layers);
  app.add_option("--width", s.width);
  app.add_option("--heads", s.heads);
  app.add_option("--vocabulary", s.vocabulary);
  app.add_option("--sequence", s.sequence);
  app.add_option("--batch", s.batch);
  app.add_option("--micro-batch", s.micro_batch);
  app.add_option("--dropout", s.dropout);
  app.add_option("--steps", s.steps);
  app.add_option("--threads", s.threads);
  std::string device = "cpu";
  app.add_option("--device", device, "cpu or cuda:N");
  CLI11_PARSE(app, argc, argv);
  // As the worker does, so that the ratio compares the loops and not the allocators.
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, 1 << 30);
  longhaul::compnode::set_compute_threads(s.threads);
  s.device = longhaul::compnode::parse_device(device);
  const Gpt2 model(s);
  torch::optim::AdamW optimizer(model.parameters(),
                                torch::optim::AdamWOptions(6e-4).weight_decay(0.1));
  for (int i = 0; i < s.steps; ++i) fmt::print("{:.6f}\n", step_seconds(model, optimizer, s));
  return 0;
}
