// Trains a job with the worker's own code in one stage, and writes every number that matters.
#include "compnode/execution/shard.hpp"
#include "compnode/files/model_export.hpp"
#include "compnode/files/safetensors_file.hpp"
#include "compnode/worker/data_feed.hpp"
#include "compnode/worker/preparation.hpp"
#include "compnode/worker/stage_links.hpp"
#include "compnode/worker/training_loop.hpp"
#include "daemon/configuration/job_file.hpp"
#include "daemon/configuration/model_source.hpp"

#include <exception>
#include <filesystem>
#include <iostream>
#include <list>
#include <memory>
#include <string>
#include <vector>

namespace longhaul::compnode {
namespace {

class Dump {
 public:
  void add(std::string name, at::Tensor tensor) {
    const at::Tensor& kept = tensors_.emplace_back(tensor.contiguous());
    const Dtype dtype = kept.scalar_type() == at::kLong     ? Dtype::kI64
                        : kept.scalar_type() == at::kDouble ? Dtype::kF64
                                                            : Dtype::kF32;
    const std::span bytes(static_cast<const std::byte*>(kept.data_ptr()), kept.nbytes());
    named_.push_back({std::move(name), {dtype, kept.sizes().vec(), bytes}});
  }
  void add(std::string name, const std::vector<double>& numbers) {
    add(std::move(name), at::tensor(numbers, at::kDouble));
  }
  void write(const std::filesystem::path& path) const {
    write_safetensors(path, named_, {}).value();
  }

 private:
  std::list<at::Tensor> tensors_;  // whose bytes the views show
  std::vector<NamedTensor> named_;
};

wire::Assignment assignment_of(const std::filesystem::path& job_file) {
  const wire::Job job = daemon::load_job(job_file).value();
  wire::Assignment assignment;
  assignment.set_job_id("parity");
  *assignment.mutable_job() = job;
  *assignment.mutable_graph() = daemon::build_graph(job).value();
  const auto graph = proto::Graph::from_wire(assignment.graph()).value();
  wire::Plan& plan = *assignment.mutable_plan();
  plan.set_epoch(1);
  plan.set_schedule(job.pipeline().schedule());
  plan.set_micro_batch_size(job.training().micro_batch());
  plan.set_micro_batches(job.training().batch() / job.training().micro_batch());
  wire::Stage& stage = *plan.add_stages();
  stage.set_node("parity");
  stage.set_device("cpu");
  stage.set_threads(1);
  stage.set_has_data(true);
  for (const proto::Operator& op : graph.operators) stage.add_operators(op.id);
  return assignment;
}

void export_initial(const PreparedStage& stage, const std::filesystem::path& folder) {
  std::vector<NamedTensor> parameters;
  for (const StageParameter& entry : stage.parameters->parameters()) {
    const proto::Parameter& described = stage.graph.parameters[entry.index.value];
    const std::span values(entry.master.data_ptr<float>(),
                           static_cast<std::size_t>(entry.master.numel()));
    parameters.push_back({described.name, f32_view(described.shape, values)});
  }
  export_model(stage.graph, parameters, {.folder = folder}).value();
}

DataFeed::Batch batch_of(const PreparedStage& stage, const DataFeed& feed, std::uint64_t step) {
  std::vector<at::Tensor> tokens;
  std::vector<at::Tensor> targets;
  for (std::uint32_t m = 0; m < stage.plan.micro_batches; ++m) {
    auto part = feed.training(step * stage.job.training().batch(), proto::MicroBatchIndex{m});
    tokens.push_back(std::move(part.tokens));
    targets.push_back(std::move(part.targets));
  }
  return {at::cat(tokens), at::cat(targets)};
}

void dump_batches(const PreparedStage& stage, const DataFeed& feed, Dump& dump) {
  std::vector<at::Tensor> tokens;
  std::vector<at::Tensor> targets;
  for (std::uint64_t step = 0; step < stage.job.training().steps(); ++step) {
    auto batch = batch_of(stage, feed, step);
    tokens.push_back(std::move(batch.tokens));
    targets.push_back(std::move(batch.targets));
  }
  dump.add("inputs", at::stack(tokens));
  dump.add("targets", at::stack(targets));
}

// The first step's gradients, micro-batch by micro-batch, as the training loop accumulates them.
void dump_gradients(PreparedStage& stage, const DataFeed& feed, Dump& dump) {
  Shard shard(stage.graph, stage.plan, stage.stage, *stage.parameters, stage.precision);
  for (std::uint32_t m = 0; m < stage.plan.micro_batches; ++m) {
    const proto::MicroBatchIndex micro_batch{m};
    const auto batch = feed.training(0, micro_batch);
    std::vector<ValueTensor> inputs;
    for (const proto::ValueIndex value : shard.inputs()) {
      const bool targets = stage.graph.data_inputs[value.value].targets;
      inputs.push_back({value, targets ? batch.targets : batch.tokens});
    }
    ExecutionPoint point;
    point.seed = stage.job.training().seed();
    point.first_sequence = std::uint64_t{m} * stage.plan.micro_batch_size;
    (void)shard.forward(micro_batch, point, inputs, true);
    (void)shard.backward_input(micro_batch, {}, 1.0 / stage.plan.micro_batches);
    shard.backward_weight(micro_batch);
  }
  for (const StageParameter& entry : stage.parameters->parameters()) {
    at::Tensor gradient = at::zeros_like(entry.master);
    for (const ParameterUse& use : entry.uses) gradient.add_(use.gradient);
    dump.add("gradient/" + stage.graph.parameters[entry.index.value].name, gradient);
  }
  stage.parameters->zero_gradients();
}

void train_and_dump(PreparedStage& stage, Dump& dump) {
  StageLinks links(stage.graph, stage.plan,
                   {.self = stage.stage,
                    .device = stage.device,
                    .precision = stage.precision,
                    .shapes = stage.shapes});
  std::vector<double> losses;
  std::vector<double> norms;
  std::vector<double> rates;
  TrainingLoop loop(stage, links,
                    {.report =
                         [&](const wire::WorkerEvent& event) {
                           if (!event.has_step()) return;
                           losses.push_back(event.step().loss());
                           norms.push_back(event.step().gradient_norm());
                           rates.push_back(event.step().learning_rate());
                         },
                     .export_request = {}});
  loop.run();
  dump.add("loss", losses);
  dump.add("gradient_norm", norms);
  dump.add("learning_rate", rates);
  for (const StageParameter& entry : stage.parameters->parameters()) {
    dump.add("parameter/" + stage.graph.parameters[entry.index.value].name, entry.master);
  }
}

void run(const std::filesystem::path& job_file, const std::filesystem::path& folder) {
  set_compute_threads(1);
  const auto stage = prepare(assignment_of(job_file)).value();
  const DataFeed feed(*stage->data, {stage->job.training().seed(), stage->plan.micro_batch_size});
  Dump dump;
  std::filesystem::create_directories(folder);
  export_initial(*stage, folder / "initial");
  dump_batches(*stage, feed, dump);
  dump_gradients(*stage, feed, dump);
  train_and_dump(*stage, dump);
  dump.write(folder / "dump.safetensors");
}

}  // namespace
}  // namespace longhaul::compnode

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: parity_dump JOB.yaml FOLDER\n";
    return 2;
  }
  try {
    longhaul::compnode::run(argv[1], argv[2]);
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "parity_dump: " << error.what() << '\n';
    return 1;
  }
}
