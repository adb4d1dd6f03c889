// Checks before anything is simulated.
#include "scheduler/simulator/pipeline_work.hpp"

#include <fmt/format.h>

#include <cmath>

namespace longhaul::scheduler {
namespace {

bool usable(double number) { return std::isfinite(number) && number >= 0.0; }

std::string problem_of_stage(const PipelineWork& work, const StageWork& stage) {
  if (stage.times.size() != 1 && stage.times.size() != work.micro_batches) {
    return fmt::format("{} times for {} micro-batches", stage.times.size(), work.micro_batches);
  }
  for (const StageTime& time : stage.times) {
    if (!usable(time.forward_s) || !usable(time.input_gradient_s) ||
        !usable(time.weight_gradient_s)) {
      return "a time that is negative or not finite";
    }
  }
  const StageMemory& memory = stage.memory;
  for (const double bytes :
       {memory.resident, memory.saved, memory.forward_peak, memory.backward_peak,
        memory.held_for_weight, memory.exchange, stage.reduction_s, stage.update_s}) {
    if (!usable(bytes)) return "a negative or infinite amount of memory or time";
  }
  if (stage.host >= work.hosts.size()) return "a host that is not there";
  if (!usable(stage.threads) || stage.threads == 0.0) return "no threads";
  if (!usable(stage.overlap_slowdown) || stage.overlap_slowdown < 1.0) {
    return "an overlap slowdown under 1";
  }
  return {};
}

std::string problem_of_transfer(const PipelineWork& work, const TransferWork& transfer) {
  if (transfer.from >= work.stages.size() || transfer.to >= work.stages.size()) {
    return "a stage that is not there";
  }
  if (transfer.backward ? transfer.from <= transfer.to : transfer.from >= transfer.to) {
    return "the wrong way";
  }
  if (transfer.path >= work.paths.size()) return "a path that is not there";
  if (transfer.bytes.size() != 1 && transfer.bytes.size() != work.micro_batches) {
    return fmt::format("{} sizes for {} micro-batches", transfer.bytes.size(), work.micro_batches);
  }
  for (const double bytes : transfer.bytes) {
    if (!usable(bytes)) return "a size that is negative or not finite";
  }
  if (!usable(transfer.encode_s) || !usable(transfer.decode_s)) return "a bad coding time";
  return {};
}

std::string problem_of_path(const PathWork& path) {
  if (!usable(path.delay_s) || !usable(path.per_message_s)) return "a bad delay";
  if (!(path.bytes_per_s > 0.0)) return "no bandwidth";
  double before_s = 0.0;
  for (const RateChange& change : path.changes) {
    if (!usable(change.at_s) || change.at_s < before_s || !usable(change.factor)) {
      return "changes that are out of order or not finite";
    }
    before_s = change.at_s;
  }
  return {};
}

}  // namespace

std::string problem_of(const PipelineWork& work) {
  if (work.stages.empty()) return "no stages";
  if (work.micro_batches == 0) return "no micro-batches";
  const auto named = [](const char* what, std::size_t i, const std::string& problem) {
    return fmt::format("{} {}: {}", what, i, problem);
  };
  for (std::size_t i = 0; i < work.stages.size(); ++i) {
    if (auto problem = problem_of_stage(work, work.stages[i]); !problem.empty()) {
      return named("stage", i, problem);
    }
  }
  for (std::size_t i = 0; i < work.transfers.size(); ++i) {
    if (auto problem = problem_of_transfer(work, work.transfers[i]); !problem.empty()) {
      return named("transfer", i, problem);
    }
  }
  for (std::size_t i = 0; i < work.paths.size(); ++i) {
    if (auto problem = problem_of_path(work.paths[i]); !problem.empty()) {
      return named("path", i, problem);
    }
  }
  for (std::size_t i = 0; i < work.hosts.size(); ++i) {
    if (!(work.hosts[i].processors > 0.0)) return named("host", i, "no processors");
  }
  const std::size_t pairs = work.stages.size() * work.stages.size();
  if (!work.between.empty() && work.between.size() != pairs)
    return "paths between some stages only";
  for (const std::size_t path : work.between) {
    if (path >= work.paths.size()) return "a path between stages that is not there";
  }
  for (const TiedWork& tied : work.tied) {
    if (!usable(tied.bytes)) return "tied gradients of a size that is negative or not finite";
    if (work.between.empty()) return "tied gradients without paths between stages";
    for (const std::size_t stage : tied.stages) {
      if (stage >= work.stages.size()) return "tied gradients of a stage that is not there";
    }
  }
  return {};
}

}  // namespace longhaul::scheduler
