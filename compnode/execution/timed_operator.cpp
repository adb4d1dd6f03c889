// A decorator.
#include "compnode/execution/timed_operator.hpp"

#include <chrono>
#include <utility>

namespace longhaul::compnode {
namespace {

class Stopwatch {
 public:
  Stopwatch(at::Device device, std::vector<double>& into)
      : device_(device), into_(into), start_(std::chrono::steady_clock::now()) {}
  ~Stopwatch() {
    synchronize(device_);
    into_.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count());
  }
  Stopwatch(const Stopwatch&) = delete;
  Stopwatch& operator=(const Stopwatch&) = delete;

 private:
  at::Device device_;
  std::vector<double>& into_;
  std::chrono::steady_clock::time_point start_;
};

class TimedOperator : public Operator {
 public:
  TimedOperator(std::unique_ptr<Operator> op, at::Device device, OperatorTimes& times)
      : op_(std::move(op)), device_(device), times_(times) {}

  at::ScalarType parameter_type(at::ScalarType activation) const override {
    return op_->parameter_type(activation);
  }
  at::Tensor forward(std::span<const at::Tensor> inputs, std::span<const at::Tensor> parameters,
                     const ExecutionPoint& point, Kept* kept) const override {
    const Stopwatch watch(device_, times_.forward_s);
    return op_->forward(inputs, parameters, point, kept);
  }
  std::vector<at::Tensor> backward_input(const at::Tensor& output_gradient,
                                         std::span<const at::Tensor> parameters,
                                         Kept& kept) const override {
    const Stopwatch watch(device_, times_.input_gradient_s);
    return op_->backward_input(output_gradient, parameters, kept);
  }
  void backward_weight(const at::Tensor& output_gradient, std::span<const at::Tensor> parameters,
                       Kept& kept, std::span<at::Tensor> gradients) const override {
    const Stopwatch watch(device_, times_.weight_gradient_s);
    op_->backward_weight(output_gradient, parameters, kept, gradients);
  }

 private:
  std::unique_ptr<Operator> op_;
  at::Device device_;
  OperatorTimes& times_;
};

}  // namespace

std::unique_ptr<Operator> timed(std::unique_ptr<Operator> op, at::Device device,
                                OperatorTimes& times) {
  return std::make_unique<TimedOperator>(std::move(op), device, times);
}

}  // namespace longhaul::compnode
