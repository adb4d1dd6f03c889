// Loads data, weights and checkpoints for one stage.
#include "compnode/worker/preparation.hpp"

#include "compnode/execution/blas.hpp"
#include "compnode/files/atomic_folder.hpp"
#include "compnode/files/checkpoint_store.hpp"
#include "compnode/files/model_export.hpp"
#include "compnode/files/model_weights.hpp"
#include "compnode/files/new_folders.hpp"
#include "compnode/links/link_control.hpp"
#include "compnode/worker/resume_notes.hpp"
#include "proto/compression_setting.hpp"
#include "proto/job.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace longhaul::compnode {
namespace {

using proto::Error;
using proto::Result;

Result<void> load_weights(PreparedStage& stage) {
  auto weights = ModelWeights::open(stage.job.model().from(), stage.graph);
  if (!weights) return weights.error();
  for (StageParameter& entry : stage.parameters->parameters()) {
    Result<void> read;
    stage.parameters->fill(entry.index, [&](std::span<float> values) {
      read = read_f32(weights->parameter(entry.index), values);
    });
    if (!read) return read.error();
  }
  stage.parameters->refresh_working_copies();
  return {};
}

void copy_state(const Checkpoint& checkpoint, StateRole role, const std::string& name,
                at::Tensor& to) {
  at::Tensor host = at::empty(to.sizes(), at::kFloat);
  read_f32(checkpoint.state(role, name),
           {host.data_ptr<float>(), static_cast<std::size_t>(host.numel())})
      .value();
  to.copy_(host);
}

Result<void> load_checkpoint(PreparedStage& stage) {
  const auto found = open_latest(stage.job.resume(), stage.graph);
  if (!found) return found.error();
  const std::optional<Checkpoint>& checkpoint = found->checkpoint;
  const CheckpointInfo& info = checkpoint->info();
  if (info.seed != stage.job.training().seed()) {
    return proto::configuration_error(
        fmt::format("{}: the checkpoint was made with seed {}, the job has seed {}; give the job "
                    "that seed to continue it",
                    checkpoint->path().string(), info.seed, stage.job.training().seed()));
  }
  for (std::size_t i = 0; i < stage.parameters->parameters().size(); ++i) {
    StageParameter& entry = stage.parameters->parameters()[i];
    const std::string& name = stage.graph.parameters[entry.index.value].name;
    copy_state(*checkpoint, StateRole::kParameter, name, entry.master);
    copy_state(*checkpoint, StateRole::kExpAvg, name, stage.optimizer->moments()[i].mean);
    copy_state(*checkpoint, StateRole::kExpAvgSq, name, stage.optimizer->moments()[i].variance);
  }
  stage.parameters->refresh_working_copies();
  stage.first_step = info.step;
  stage.data_cursor = info.data_cursor;
  stage.notes = resume_notes(*found, stage.job);
  return {};
}

// A fresh run among older checkpoints would later be taken for their continuation.
Result<void> check_checkpoint_folder(const wire::Job& job) {
  const std::string& folder = job.checkpoint().directory();
  if (job.checkpoint().every() == 0 || !job.resume().empty()) return {};
  const auto steps = checkpoint_steps(folder);
  if (!steps) return steps.error();
  if (steps->empty()) return {};
  return proto::configuration_error(fmt::format(
      "{}: holds checkpoints of an earlier run, the newest of step {}; continue it with "
      "--resume {}, or name another checkpoint.directory, or remove that one",
      folder, steps->back(), folder));
}

proto::ShapeBinding binding_of(const wire::Job& job) {
  return {static_cast<std::int64_t>(job.training().micro_batch()),
          static_cast<std::int64_t>(job.data().sequence_length())};
}

Result<proto::CompressionSetting> compression_of(const wire::Job& job) {
  const auto setting = proto::parse_compression(job.compression());
  if (!setting) return setting.error();
  if (const auto checked = check_setting(*setting); !checked) return checked.error();
  return *setting;
}

Result<void> open_data(PreparedStage& stage) {
  if (!stage.plan.stages[stage.stage.value].has_data) return {};
  const auto vocabulary = vocabulary_size(stage.graph, stage.shapes);
  if (!vocabulary) return vocabulary.error();
  auto data =
      TokenDataset::open(stage.job.data(), {.vocabulary_size = *vocabulary, .progress = {}});
  if (!data) return data.error();
  stage.data.emplace(std::move(*data));
  return {};
}

Result<void> load_state(PreparedStage& stage) {
  if (!stage.job.resume().empty()) return load_checkpoint(stage);
  if (!stage.job.model().from().empty()) return load_weights(stage);
  stage.parameters->initialise(stage.job.training().seed());
  return {};
}

}  // namespace

Result<std::int64_t> vocabulary_size(const proto::Graph& graph,
                                     const std::vector<proto::Shape>& shapes) {
  if (graph.logits) return shapes[graph.value_of(*graph.logits).value].back();
  for (const proto::Operator& op : graph.operators) {
    if (op.kind == proto::OperatorKind::kEmbedding) {
      return graph.parameters[op.parameters.front().value].shape.front();
    }
  }
  return proto::configuration_error(
      "the graph names no `logits` and has no embedding, so that the "
      "size of its vocabulary is unknown; name the logits' operator");
}

Result<std::unique_ptr<PreparedStage>> prepare(const wire::Assignment& assignment) {
  auto stage = std::make_unique<PreparedStage>();
  if (auto valid = proto::validate_job(assignment.job()); !valid) return valid.error();
  stage->job = assignment.job();
  stage->job_id = assignment.job_id();
  if (auto fresh = check_checkpoint_folder(stage->job); !fresh) return fresh.error();
  auto graph = proto::Graph::from_wire(assignment.graph());
  if (!graph) return graph.error();
  stage->graph = std::move(*graph);
  auto plan = proto::Plan::from_wire(assignment.plan(), stage->graph);
  if (!plan) return plan.error();
  stage->plan = std::move(*plan);
  if (assignment.stage() >= stage->plan.stages.size()) {
    return Error{proto::ErrorKind::kInternal, "the assignment names a stage that the plan lacks"};
  }
  stage->stage = proto::StageIndex{assignment.stage()};
  auto shapes = proto::infer_shapes(stage->graph, binding_of(stage->job));
  if (!shapes) return shapes.error();
  stage->shapes = std::move(*shapes);

  const proto::Stage& placed = stage->plan.stages[stage->stage.value];
  stage->device = parse_device(placed.device);
  stage->precision = stage->job.training().precision() == "bf16" ? at::kBFloat16 : at::kFloat;
  const auto compression = compression_of(stage->job);
  if (!compression) return compression.error();
  stage->compression = *compression;
  if (auto opened = open_data(*stage); !opened) return opened.error();
  stage->parameters = std::make_unique<ParameterStore>(
      stage->graph, stage->plan, stage->stage,
      ParameterStore::Options{stage->device, stage->precision, true});
  stage->optimizer = std::make_unique<AdamW>(*stage->parameters, stage->job.training().optimizer());
  if (auto loaded = load_state(*stage); !loaded) return loaded.error();
  const std::string advice = stage->device.is_cpu() ? advice_on(blas_in_use()) : std::string();
  if (!advice.empty()) stage->notes.push_back(advice);
  return stage;
}

Preflight preflight(const wire::SubmitJob& submission, const std::function<void()>& progress) {
  Preflight findings;
  std::vector<Error>& errors = findings.errors;
  const auto note = [&](const auto& result) {
    if (!result) errors.push_back(result.error());
    return result.has_value();
  };
  const wire::Job& job = submission.job();
  if (note(proto::validate_job(job))) note(compression_of(job));
  const auto graph = proto::Graph::from_wire(submission.graph());
  if (!note(graph) || job.training().micro_batch() == 0 || job.data().sequence_length() == 0)
    return findings;
  const auto shapes = proto::infer_shapes(*graph, binding_of(job));
  if (!note(shapes)) return findings;
  if (!job.model().from().empty()) note(ModelWeights::open(job.model().from(), *graph));
  if (const auto vocabulary = vocabulary_size(*graph, *shapes); note(vocabulary)) {
    note(TokenDataset::check(job.data(), *vocabulary));
  }
  note(check_checkpoint_folder(job));
  if (!job.resume().empty()) {
    const auto found = open_latest(job.resume(), *graph);
    if (note(found)) findings.notes = resume_notes(*found, job);
  }
  NewFolders outputs;  // whether they can be written is tried, and nothing stays
  if (!job.export_directory().empty()) {
    outputs.expect(std::filesystem::path(job.export_directory()).parent_path());
  }
  if (job.checkpoint().every() > 0) outputs.expect(job.checkpoint().directory());
  if (!job.export_directory().empty() && note(check_export_folder(job.export_directory()))) {
    note(AtomicFolder::create(job.export_directory()));
  }
  if (job.checkpoint().every() > 0) {
    note(AtomicFolder::create(std::filesystem::path(job.checkpoint().directory()) / "writable"));
  }
  outputs.remove_empty();
  // What passes is tokenised now, into the cache: the rest of what can be wrong shows there.
  if (errors.empty()) {
    note(TokenDataset::open(job.data(),
                            {.vocabulary_size = *vocabulary_size(*graph, *shapes),
                             .progress = [&](const TokenizingProgress&) { progress(); }}));
  }
  return findings;
}

}  // namespace longhaul::compnode
