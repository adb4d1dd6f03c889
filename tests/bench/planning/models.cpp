// GPT by its graph, ResNet by its layers' shapes.
#include "tests/bench/planning/models.hpp"

#include "tests/unit/sample_graphs.hpp"

#include <algorithm>
#include <array>
#include <string>

namespace longhaul::tests {

using namespace scheduler;

Workload gpt_workload(const GptShape& shape, std::int64_t micro_batch,
                      const std::vector<DeviceKind>& kinds) {
  const auto graph = proto::Graph::from_wire(gpt2_graph({.layers = shape.layers,
                                                         .width = shape.width,
                                                         .heads = shape.heads,
                                                         .vocabulary = 50257,
                                                         .positions = 1024,
                                                         .dropout = 0.0}));
  GraphWorkloadOptions options;
  options.binding = {.batch = micro_batch, .sequence = 1024};
  options.memory.precision = proto::Precision::kBf16;
  options.kinds = kinds;
  return workload_from_graph(graph.value(), options).value();
}

namespace {

class ResNet {
 public:
  ResNet(std::uint32_t micro_batch, const std::vector<DeviceKind>& kinds)
      : batch_(micro_batch), kinds_(kinds) {
    made_.name = "ResNet-101";
    made_.micro_batch_size = micro_batch;
    made_.tokens_per_micro_batch = micro_batch;
    made_.times.resize(kinds.size());
    for (const DeviceKind& kind : kinds) {
      made_.kinds.push_back(kind.name);
      made_.overlap_slowdown.push_back(1.0);
      made_.update_scale.push_back(kinds[0].memory_bytes_per_s / kind.memory_bytes_per_s);
    }
  }

  // `size`: of the output's side; returns the operator's number.
  std::size_t convolution(std::size_t input, double from, double to, double kernel, double size) {
    const double outputs = batch_ * to * size * size;
    return add("conv", {input}, 2.0 * outputs * from * kernel * kernel, from * to * kernel * kernel,
               outputs);
  }
  std::size_t cheap(const char* name, std::vector<std::size_t> inputs, double channels, double size,
                    double flops_per_element, double parameters = 0.0) {
    const double outputs = batch_ * channels * size * size;
    return add(name, std::move(inputs), flops_per_element * outputs, parameters, outputs);
  }
  std::size_t normalised(std::size_t input, double channels, double size, bool active = true) {
    const std::size_t norm = cheap("norm", {input}, channels, size, 8.0, 2.0 * channels);
    return active ? cheap("relu", {norm}, channels, size, 1.0) : norm;
  }
  Workload take() { return std::move(made_); }

 private:
  std::size_t add(const std::string& name, std::vector<std::size_t> inputs, double forward_flops,
                  double parameters, double outputs) {
    WorkloadOperator op;
    op.id = name + std::to_string(made_.operators.size());
    op.needs_data = made_.operators.empty();
    double input_bytes = op.needs_data ? 2.0 * batch_ * 3.0 * 224.0 * 224.0 : 0.0;
    if (!op.needs_data) {
      for (const std::size_t input : inputs) input_bytes += made_.operators[input].output_bytes;
      op.inputs = std::move(inputs);
    }
    op.output_bytes = 2.0 * outputs;
    op.flops = 3.0 * forward_flops;
    op.state_bytes = 18.0 * parameters;
    op.parameter_bytes = 4.0 * parameters;
    op.saved_bytes = input_bytes;
    op.workspace_bytes = 2.0 * op.output_bytes;
    op.update_s = 28.0 * parameters / kinds_[0].memory_bytes_per_s;
    for (std::size_t k = 0; k < kinds_.size(); ++k) {
      const double bytes = input_bytes + op.output_bytes + 2.0 * parameters;
      const double pass_s = std::max(forward_flops / (kinds_[k].flops_per_s * kinds_[k].efficiency),
                                     bytes / kinds_[k].memory_bytes_per_s);
      made_.times[k].push_back({.forward_s = pass_s,
                                .input_gradient_s = pass_s,
                                .weight_gradient_s = parameters > 0.0 ? pass_s : 0.0});
    }
    made_.operators.push_back(std::move(op));
    return made_.operators.size() - 1;
  }

  double batch_;
  const std::vector<DeviceKind>& kinds_;
  Workload made_;
};

}  // namespace

Workload resnet101_workload(std::uint32_t micro_batch, const std::vector<DeviceKind>& kinds) {
  ResNet net(micro_batch, kinds);
  std::size_t last = net.convolution(0, 3.0, 64.0, 7.0, 112.0);
  last = net.normalised(last, 64.0, 112.0);
  last = net.cheap("pool", {last}, 64.0, 56.0, 9.0);
  double channels = 64.0;
  const std::array<std::size_t, 4> blocks{3, 4, 23, 3};
  for (std::size_t stage = 0; stage < blocks.size(); ++stage) {
    const double inner = 64.0 * static_cast<double>(1U << stage);
    const double size = 56.0 / static_cast<double>(1U << stage);
    for (std::size_t block = 0; block < blocks[stage]; ++block) {
      const std::size_t input = last;
      const double before = block == 0 && stage > 0 ? 2.0 * size : size;
      std::size_t shortcut = input;
      last = net.normalised(net.convolution(input, channels, inner, 1.0, before), inner, before);
      last = net.normalised(net.convolution(last, inner, inner, 3.0, size), inner, size);
      last = net.normalised(net.convolution(last, inner, 4.0 * inner, 1.0, size), 4.0 * inner, size,
                            false);
      if (block == 0) {
        shortcut = net.normalised(net.convolution(input, channels, 4.0 * inner, 1.0, size),
                                  4.0 * inner, size, false);
      }
      channels = 4.0 * inner;
      last = net.cheap("add", {last, shortcut}, channels, size, 1.0);
      last = net.cheap("relu", {last}, channels, size, 1.0);
    }
  }
  last = net.cheap("average", {last}, channels, 1.0, 49.0);
  last = net.convolution(last, channels, 1000.0, 1.0, 1.0);
  net.cheap("loss", {last}, 1000.0, 1.0, 12.0);
  return net.take();
}

}  // namespace longhaul::tests
