// The formulas of cost_model.hpp.
#include "scheduler/galvatron/cost_model.hpp"

#include <algorithm>
#include <cmath>

namespace longhaul::scheduler::galvatron {
namespace {

constexpr double kBytesPerMb = 1024.0 * 1024.0;
constexpr double kSPerMs = 0.001;
constexpr double kContextMb = 1024.0;
constexpr double kBackwardPerForward = 2.0;
constexpr double kTensorCollectives = 6.0;
constexpr double kUlyssesCollectives = 4.0;

// A backward of `computation` beside a reduction of `communication`, both slowed down while they
// overlap.
double overlapped(double computation, double communication, double slowdown) {
  return std::max(computation, communication) +
         (slowdown - 1.0) * std::min(computation, communication);
}

// Communication that runs undisturbed beside a computation that it slows down.
double beside(double computation, double communication, double slowdown) {
  if (computation * slowdown <= communication) return communication;
  return communication + (computation - communication / slowdown);
}

std::uint64_t rounded_up(double mb) { return static_cast<std::uint64_t>(std::ceil(mb)); }

}  // namespace

CostModel::CostModel(const Profile& profile, const ModelAtSequence& model, const Problem& problem)
    : profile_(profile),
      model_(model),
      problem_(problem),
      half_(problem.precision == proto::Precision::kBf16 ? 0.5 : 1.0) {
  for (const auto& [devices, measured] : profile.all_reduce_ms) {
    if (measured.size() > 1) all_reduce_.try_emplace(devices, measured);
  }
  for (const auto& [devices, measured] : profile.all_to_all_ms) {
    if (measured.size() > 1) all_to_all_.try_emplace(devices, measured);
  }
}

double CostModel::local_batch(const Strategy& strategy) const {
  return static_cast<double>(problem_.batch / problem_.chunks / strategy.data);
}

double CostModel::activation_mb(const Strategy& strategy) const {
  return local_batch(strategy) * static_cast<double>(problem_.sequence) *
         static_cast<double>(problem_.hidden) * 4.0 * half_ / kBytesPerMb;
}

double CostModel::all_reduce_ms_per_mb(std::uint32_t devices, bool neighbours) const {
  if (devices == 1) return 0.0;
  const bool strided = !neighbours && devices < problem_.devices;
  return 1.0 / (strided ? profile_.strided_all_reduce_gb_per_s : profile_.all_reduce_gb_per_s)
                   .at(devices);
}

double CostModel::all_gather_ms(const Strategy& strategy) const {
  return all_reduce_.at(strategy.tensor).ms(activation_mb(strategy)) / 2.0;
}

CostModel::Times CostModel::layer_times(const Strategy& strategy) const {
  const double degree = strategy.degree();
  const double shards = strategy.shards();
  const double forward = model_.layer_ms * local_batch(strategy) / degree;
  const double backward = forward * (kBackwardPerForward + (strategy.checkpoint ? 1.0 : 0.0));
  const double gradient_ms = 2.0 * (shards - 1.0) / shards * model_.layer.parameters_mb /
                             strategy.tensor * half_ *
                             all_reduce_ms_per_mb(strategy.shards(), strategy.tensor == 1);
  double rest = 0.0;
  const double repeats = strategy.checkpoint ? 1.5 : 1.0;
  if (strategy.tensor > 1) {
    rest += kTensorCollectives * repeats * all_gather_ms(strategy);
  } else if (strategy.ulysses > 1) {
    rest += kUlyssesCollectives * repeats *
            all_to_all_.at(strategy.ulysses).ms(activation_mb(strategy));
  }
  if (strategy.sharding == Sharding::kEverything) rest += gradient_ms * 0.5;
  if (strategy.pipeline > 1) {
    rest += 2.0 * strategy.pipeline * activation_mb(strategy) /
            profile_.point_to_point_gb_per_s.at(strategy.pipeline);
  }
  const double reduction = strategy.data > 1 ? gradient_ms : 0.0;
  return {
      .with_reduction_s =
          (forward + overlapped(backward, reduction, profile_.overlap_slowdown) + rest) * kSPerMs,
      .without_s = (forward + backward + rest) * kSPerMs};
}

std::vector<double> CostModel::rest_s(const Strategy& strategy) const {
  const bool alone = strategy.pipeline == 1;
  const double slowdown = profile_.overlap_slowdown;
  const double shards = strategy.shards();
  const double forward =
      model_.rest_ms * local_batch(strategy) / strategy.degree() / (alone ? 1.0 : 2.0);
  double gathers = strategy.tensor > 1 ? all_gather_ms(strategy) : 0.0;
  if (alone) gathers *= 2.0;  // the embedding's and the head's
  const double gather_factor = strategy.sharding == Sharding::kEverything ? 0.5 : 0.0;
  std::vector<double> result(strategy.pipeline);
  for (const std::uint32_t stage : {0u, strategy.pipeline - 1}) {
    const double parameters_mb =
        rest_memory(strategy, stage).states_mb.at(strategy.tensor) / 4.0 * half_;
    const double communication = gather_factor * parameters_mb * (shards - 1.0) / shards *
                                 all_reduce_ms_per_mb(strategy.shards(), strategy.tensor == 1);
    result[stage] = (beside(forward, communication, slowdown) +
                     beside(forward * kBackwardPerForward, communication, slowdown) + gathers) *
                    kSPerMs;
  }
  return result;
}

double CostModel::transition_s(const Strategy& before, const Strategy& after) const {
  const std::uint32_t larger = std::max(before.degree(), after.degree());
  if (before.degree() != after.degree()) {
    const double data = problem_.devices / before.pipeline / larger;
    const double samples = static_cast<double>(problem_.batch) / problem_.chunks / data;
    const double bytes = (larger - 1.0) / larger * samples *
                         static_cast<double>(problem_.sequence) *
                         static_cast<double>(problem_.hidden) * 4.0 * half_;
    return bytes * all_reduce_ms_per_mb(larger, true) * 1e-7;
  }
  const bool same_sharding = before.sharding == after.sharding;
  const bool same_checkpoint = before.checkpoint == after.checkpoint;
  if (before.tensor != after.tensor) {
    return same_sharding && same_checkpoint && after.ulysses > 1 ? 1e-10 : 0.0;
  }
  if (same_sharding && same_checkpoint) return 0.0;
  const bool to_shards = after.sharding == Sharding::kEverything;
  if (to_shards && after.checkpoint) return 3e-9;
  if (same_sharding) return after.checkpoint ? 2e-9 : 0.0;
  if (same_checkpoint) return to_shards ? 1e-9 : 0.0;
  return before.sharding == Sharding::kEverything && after.checkpoint ? 1e-9 : 0.0;
}

double CostModel::in_flight(const Strategy& strategy, std::uint32_t stage) const {
  if (strategy.pipeline == 1) return 1.0;
  if (problem_.schedule == proto::ScheduleKind::kGpipe) return problem_.chunks;
  return strategy.pipeline - stage;
}

// With s = 1 / d + 0.003, a sharded value's share and a little. In bf16, of eight parts of state
// one is gradients; fp32 gradients of accumulation add a quarter to everything.
double CostModel::states_factor(const Strategy& strategy) const {
  if (strategy.sharding == Sharding::kNothing) return 1.0;
  const bool everything = strategy.sharding == Sharding::kEverything;
  const bool bf16 = problem_.precision == proto::Precision::kBf16;
  const double share = 1.0 / strategy.shards() + 0.003;
  const auto mixed = [&](double sharded) { return sharded * share + (1.0 - sharded); };
  if (problem_.chunks == 1) return everything ? share : mixed(bf16 ? 7.0 / 8 : 3.0 / 4);
  if (problem_.reduces_asynchronously) {
    if (everything) return mixed(bf16 ? 7.0 / 8 : 3.0 / 4);
    return mixed(bf16 ? 6.0 / 8 : 2.0 / 4);
  }
  if (everything) return share * 5 / 4;
  return bf16 ? mixed(7.0 / 8) * 5 / 4 : mixed(3.0 / 4);
}

const RestMemory& CostModel::rest_memory(const Strategy& strategy, std::uint32_t stage) const {
  if (strategy.pipeline == 1) return model_.rest.alone;
  return stage == 0 ? model_.rest.first : model_.rest.last;
}

std::uint64_t CostModel::layer_memory_mb(const Strategy& strategy, std::uint32_t stage) const {
  const LayerMemory& layer = model_.layer;
  const double states = 4.0 * layer.parameters_mb / strategy.tensor * states_factor(strategy);
  const double samples = local_batch(strategy) * in_flight(strategy, stage);
  const double activation = strategy.checkpoint
                                ? layer.checkpoint_activation_mb * samples / strategy.degree()
                                : layer.activation_mb.at(strategy.degree()) * samples;
  return rounded_up(states + activation);
}

std::uint64_t CostModel::rest_memory_mb(const Strategy& strategy, std::uint32_t stage) const {
  if (stage > 0 && stage + 1 < strategy.pipeline) return rounded_up(kContextMb);
  const RestMemory& rest = rest_memory(strategy, stage);
  return rounded_up(rest.states_mb.at(strategy.tensor) * states_factor(strategy) +
                    rest.activation_mb.at(strategy.degree()) * local_batch(strategy) *
                        in_flight(strategy, stage) +
                    kContextMb);
}

double CostModel::buffer_mb(std::uint32_t pipeline, std::uint32_t largest_degree) const {
  const double data = problem_.devices / pipeline / largest_degree;
  return static_cast<double>(problem_.batch) / problem_.chunks / data *
         static_cast<double>(problem_.hidden) * static_cast<double>(problem_.sequence) * 4.0 *
         half_ / kBytesPerMb;
}

}  // namespace longhaul::scheduler::galvatron
