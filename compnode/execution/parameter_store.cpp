// Allocation, initialisation and look-up of a stage's parameters.
#include "compnode/execution/parameter_store.hpp"

#include "compression/random.hpp"
#include "proto/assert.hpp"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#include <ATen/CPUGeneratorImpl.h>
#pragma GCC diagnostic pop

#include <string_view>

namespace longhaul::compnode {
namespace {

// FNV-1a: a fixed function of the name, on every host.
std::uint64_t hash_name(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : name) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

at::Tensor initial_value(const proto::Parameter& parameter, std::uint64_t seed) {
  at::Tensor value = at::zeros(parameter.shape, at::kFloat);
  if (parameter.initialisation == wire::Initialisation::ONES) value.fill_(1.0);
  if (parameter.initialisation == wire::Initialisation::NORMAL) {
    const std::uint64_t key =
        compression::mix64(compression::mix64(seed) ^ hash_name(parameter.name));
    value.normal_(0.0, parameter.standard_deviation, at::detail::createCPUGenerator(key));
  }
  return value;
}

}  // namespace

ParameterStore::ParameterStore(const proto::Graph& graph, const proto::Plan& plan,
                               proto::StageIndex stage, Options options)
    : graph_(graph), options_(options) {
  const auto fp32 = at::TensorOptions().dtype(at::kFloat).device(options.device);
  for (const proto::ParameterIndex index : proto::stage_parameters(graph, plan, stage)) {
    const proto::Parameter& parameter = graph.parameters[index.value];
    StageParameter entry{index, at::zeros(parameter.shape, fp32), {}, {}};
    entry.working =
        options.precision == at::kFloat ? entry.master : entry.master.to(options.precision);
    for (const proto::OperatorIndex op : plan.stages[stage.value].operators) {
      for (const proto::ParameterIndex used : graph.operators[op.value].parameters) {
        if (used != index) continue;
        entry.uses.push_back(
            {op, options.gradients ? at::zeros(parameter.shape, fp32) : at::Tensor()});
      }
    }
    place_.emplace(index, parameters_.size());
    parameters_.push_back(std::move(entry));
  }
}

void ParameterStore::initialise(std::uint64_t seed) {
  for (StageParameter& entry : parameters_) {
    entry.master.copy_(initial_value(graph_.parameters[entry.index.value], seed));
  }
  refresh_working_copies();
}

void ParameterStore::fill(proto::ParameterIndex index,
                          const std::function<void(std::span<float>)>& read) {
  StageParameter& entry = parameter(index);
  at::Tensor host = entry.master.device().is_cpu() ? entry.master : at::empty(entry.master.sizes());
  read({host.data_ptr<float>(), static_cast<std::size_t>(host.numel())});
  if (!host.is_same(entry.master)) entry.master.copy_(host);
}

void ParameterStore::refresh_working_copies() {
  for (StageParameter& entry : parameters_) {
    if (!entry.working.is_same(entry.master)) entry.working.copy_(entry.master);
  }
}

void ParameterStore::zero_gradients() {
  for (StageParameter& entry : parameters_) {
    for (ParameterUse& use : entry.uses) use.gradient.zero_();
  }
}

StageParameter& ParameterStore::parameter(proto::ParameterIndex index) {
  const auto found = place_.find(index);
  LONGHAUL_ASSERT(found != place_.end());
  return parameters_[found->second];
}

at::Tensor ParameterStore::value(proto::ParameterIndex index, at::ScalarType type) {
  StageParameter& entry = parameter(index);
  return type == at::kFloat ? entry.master : entry.working;
}

at::Tensor ParameterStore::gradient(proto::ParameterIndex index, proto::OperatorIndex op) {
  for (ParameterUse& use : parameter(index).uses) {
    if (use.op == op) return use.gradient;
  }
  LONGHAUL_ASSERT(false);
  return {};
}

std::uint64_t ParameterStore::elements() const {
  std::uint64_t total = 0;
  for (const StageParameter& entry : parameters_) {
    total += static_cast<std::uint64_t>(entry.master.numel());
  }
  return total;
}

}  // namespace longhaul::compnode
