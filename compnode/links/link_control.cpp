// Collects what encoders, decoders and links show; asks the policy at the end of a step.
#include "compnode/links/link_control.hpp"

#include "compression/link_rules.hpp"
#include "proto/assert.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

namespace longhaul::compnode {
namespace {

using compression::Rung;
using compression::RungSample;
using Mode = proto::CompressionSetting::Mode;
using proto::StageIndex;
using proto::transfer_budget_s;

constexpr std::size_t kPaceSteps = 5;
constexpr double kMostToldNumber = 9007199254740992.0;  // 2^53

proto::Result<std::optional<Rung>> fixed_rung(const proto::CompressionSetting& setting) {
  if (setting.mode == Mode::kFixed) {
    const auto rung = compression::parse_rung(setting.rung);
    if (!rung) return proto::configuration_error("compression: " + rung.error().message);
    return std::optional(*rung);
  }
  if (setting.mode == Mode::kUniformTopK) {
    return std::optional(compression::indexed_rung(setting.ratio));
  }
  return std::optional<Rung>();
}

void add(std::vector<RungSample>& samples, const RungSample& sample) {
  const auto same = std::ranges::find_if(samples, [&](const RungSample& known) {
    return known.rung == sample.rung && known.mask_density == sample.mask_density;
  });
  if (same == samples.end()) {
    samples.push_back(sample);
    return;
  }
  same->entries += sample.entries;
  same->bytes += sample.bytes;
  same->encode_s += sample.encode_s;
  same->distortion.squared_error += sample.distortion.squared_error;
  same->distortion.squares += sample.distortion.squares;
}

// The place of the rung with which the plan starts a link.
std::optional<std::size_t> planned_start(const proto::Plan& plan, const BoundaryLink& link,
                                         const compression::PolicyOptions& policy) {
  const auto found = std::ranges::find_if(plan.links, [&](const proto::LinkStart& start) {
    return start.from == link.sender() && start.to == link.receiver();
  });
  if (found == plan.links.end()) return std::nullopt;
  const auto rung = compression::parse_rung(found->rung);
  if (!rung) return std::nullopt;
  const std::vector<Rung> rungs =
      link.backward ? compression::value_rungs(policy.ladder) : policy.ladder;
  const auto place = std::ranges::find_if(rungs, [&](const Rung& one) {
    return link.backward ? one.format == rung->format : one == *rung;
  });
  if (place == rungs.end()) return std::nullopt;
  return static_cast<std::size_t>(place - rungs.begin());
}

}  // namespace

proto::Result<void> check_setting(const proto::CompressionSetting& setting) {
  const auto rung = fixed_rung(setting);
  if (!rung) return rung.error();
  return {};
}

LinkControl::LinkControl(std::vector<BoundaryLink> links, const proto::Plan& plan, Options options)
    : options_(std::move(options)) {
  for (const BoundaryLink& link : links) {
    if (std::ranges::find(links_, link) == links_.end()) links_.push_back(link);
  }
  pace_ = {.schedule = plan.schedule,
           .stages = static_cast<std::uint32_t>(plan.stages.size()),
           .micro_batches = plan.micro_batches,
           .run_ahead = plan.run_ahead};
  boundaries_ = plan.stages.size() - 1;
  fixed_ = fixed_rung(options_.setting).value();
  for (const BoundaryLink& link : links_) {
    if (link.sender() != options_.self) continue;
    Sending& sending = sending_[link];
    sending.tensors_per_micro_batch = static_cast<std::size_t>(std::ranges::count(links, link));
    if (fixed_) sending.rung = *fixed_;
    if (options_.setting.mode != Mode::kAdaptive) continue;
    compression::PolicyOptions policy = policy_options(link.backward);
    if (const auto start = planned_start(plan, link, policy)) policy.start = *start;
    sending.policy = std::make_unique<compression::LinkPolicy>(policy);
    sending.rung = sending.policy->rung();
    sending.choice = sending.rung;
    sending.wanted = sending.policy->wanted_trials(policy.ladder.size());
  }
}

// A link that the plan says nothing of starts with 8 bits, which no training has been seen to mind,
// until it is known how fast it is: a dense start would cost a slow link the time of many steps.
compression::PolicyOptions LinkControl::policy_options(bool backward) const {
  compression::PolicyOptions policy;
  policy.backward = backward;
  policy.distortion = options_.setting.distortion.value_or(compression::default_distortion(
      {.backward = backward, .from_scratch = options_.from_scratch, .boundaries = boundaries_}));
  policy.steps = options_.steps;
  policy.anneal = options_.anneal;
  const std::vector<Rung> rungs =
      backward ? compression::value_rungs(policy.ladder) : policy.ladder;
  const auto eight = std::ranges::find_if(
      rungs, [](const Rung& rung) { return rung.format == compression::ValueFormat::kInt8; });
  if (eight != rungs.end()) policy.start = static_cast<std::size_t>(eight - rungs.begin());
  return policy;
}

void LinkControl::on_computed(double forward_s, double backward_s) {
  const std::lock_guard lock(mutex_);
  if (!first_step_) return;
  pace_.forward_s = forward_s;
  pace_.backward_s = backward_s > 0.0 ? backward_s : 2.0 * forward_s;
  for (auto& [link, sending] : sending_) begin(link, sending);
}

// In the middle of the first step, once: the mildest rung that this link hides behind this stage's
// own computation, as far as trials and link have shown; the other stages' word comes at the end.
void LinkControl::begin(const BoundaryLink& link, Sending& sending) {
  if (!sending.policy || sending.begun || link.backward) return;
  const auto state = states_.find(link.receiver());
  const double rate = goodput(link);
  if (rate <= 0.0 || !sending.wanted.empty() || sending.tensors == 0) return;
  const double micro_batch = sending.entries / static_cast<double>(sending.tensors) *
                             static_cast<double>(sending.tensors_per_micro_batch);
  sending.begun = true;
  const double budget_s =
      transfer_budget_s(pace_, link.backward, state->second.measure.round_trip_s);
  compression::PolicyOptions options = policy_options(link.backward);
  double best_s = std::numeric_limits<double>::infinity();
  for (std::size_t place = 0; place < options.ladder.size(); ++place) {
    const Rung& rung = options.ladder[place];
    const auto trial = std::ranges::find(sending.trials, rung, &RungSample::rung);
    const bool dense = place == 0;
    if (!dense && trial == sending.trials.end()) continue;
    double time_s =
        dense ? micro_batch * static_cast<double>(options_.activation_bytes) / rate
              : micro_batch / trial->entries * (trial->bytes / rate + 2.0 * trial->encode_s);
    const bool allowed =
        dense || trial->distortion.squared_error <= options.distortion * trial->distortion.squares;
    if (!allowed || time_s >= best_s) continue;
    best_s = time_s;
    options.start = place;
    if (time_s <= budget_s) break;
  }
  const Rung before = sending.rung;
  sending.policy = std::make_unique<compression::LinkPolicy>(options);
  sending.rung = sending.policy->rung();
  if (sending.rung == before) return;
  sending.reason =
      fmt::format("forward {} -> {}: the link's first figures, {:.2f} Mbit/s",
                  compression::name(before), compression::name(sending.rung), rate * 8e-6);
  sending.begin_changes = 1;
  sending.change_step = 1;
}

Rung LinkControl::rung_for(const BoundaryLink& link, const Rung& forward) const {
  const std::lock_guard lock(mutex_);
  const Sending& sending = sending_.at(link);
  if (!link.backward) return sending.rung;
  if (sending.policy) return compression::backward_rung(sending.choice, forward);
  return compression::shares_mask(sending.rung) ? compression::masked_values_of(sending.rung)
                                                : sending.rung;
}

void LinkControl::on_encoded(const BoundaryLink& link, const RungSample& sample) {
  const std::lock_guard lock(mutex_);
  Sending& sending = sending_.at(link);
  add(sending.samples, sample);
  sending.entries += sample.entries;
  ++sending.tensors;
}

void LinkControl::on_decoded(const BoundaryLink& link, double seconds) {
  const std::lock_guard lock(mutex_);
  decoded_s_[link] += seconds;
}

std::optional<Rung> LinkControl::take_trial(const BoundaryLink& link) {
  const std::lock_guard lock(mutex_);
  Sending& sending = sending_.at(link);
  if (sending.wanted.empty()) return std::nullopt;
  const Rung rung = sending.wanted.front();
  sending.wanted.erase(sending.wanted.begin());
  return rung;
}

void LinkControl::on_trial(const BoundaryLink& link, const RungSample& sample) {
  const std::lock_guard lock(mutex_);
  sending_.at(link).trials.push_back(sample);
}

void LinkControl::on_state(StageIndex peer, const proto::LinkState& state) {
  const std::lock_guard lock(mutex_);
  states_[peer] = state;
}

double LinkControl::goodput(const BoundaryLink& link) const {
  const auto state = states_.find(link.receiver());
  return state == states_.end() ? 0.0 : state->second.measure.goodput;
}

double LinkControl::dense_s(const BoundaryLink& link, const Sending& sending) const {
  const double rate = goodput(link);
  const double bytes =
      sending.entries_per_micro_batch * static_cast<double>(options_.activation_bytes);
  return rate > 0.0 ? bytes / rate : 0.0;
}

std::optional<std::size_t> LinkControl::index_of(const BoundaryLink& link) const {
  const auto found = std::ranges::find(links_, link);
  if (found == links_.end()) return std::nullopt;
  return static_cast<std::size_t>(found - links_.begin());
}

std::vector<double> LinkControl::numbers(double forward_s, double backward_s) const {
  const std::lock_guard lock(mutex_);
  std::vector<double> numbers(number_count(), 0.0);
  numbers[0] = forward_s;
  numbers[1] = backward_s;
  for (std::size_t i = 0; i < links_.size(); ++i) {
    const BoundaryLink& link = links_[i];
    double* const mine = numbers.data() + 2 + i * kPerLink;
    if (const auto decoded = decoded_s_.find(link); decoded != decoded_s_.end()) {
      mine[kDecodeS] = decoded->second / pace_.micro_batches;
    }
    const auto found = sending_.find(link);
    if (found == sending_.end()) continue;
    const Sending& sending = found->second;
    mine[kDenseS] = dense_s(link, sending);
    if (!sending.policy) continue;
    mine[kBestS] = sending.policy->best_time_s();
    if (link.backward) {
      mine[kDemand] = static_cast<double>(sending.policy->demand());
    } else {
      // A policy that has not seen a step yet does not know what it may use.
      if (!first_step_) mine[kHardest] = static_cast<double>(sending.policy->hardest_allowed() + 1);
      mine[kRung] = static_cast<double>(compression::pack(sending.rung));
    }
  }
  return numbers;
}

void LinkControl::end_step(std::uint64_t step, double loss,
                           std::span<const std::vector<double>> told) {
  const std::lock_guard lock(mutex_);
  // Every number but the first two has one owner, the others say 0.
  std::vector<double> sums(number_count(), 0.0);
  StageTime slowest;
  for (const std::vector<double>& stage : told) {
    LONGHAUL_ASSERT(stage.size() == sums.size());
    // What no stage of ours tells is not believed: the step is judged without it.
    if (!std::ranges::all_of(stage, [](double n) { return n >= 0.0 && n < kMostToldNumber; }))
      continue;
    if (stage[0] + stage[1] > slowest.sum()) slowest = {stage[0], stage[1]};
    for (std::size_t i = 2; i < sums.size(); ++i) sums[i] += stage[i];
  }
  see_pace(slowest);
  first_step_ = false;
  double water_level_s = 0.0;
  double slowest_s = 0.0;
  for (std::size_t i = 0; i < links_.size(); ++i) {
    water_level_s = std::max(water_level_s, sums[2 + i * kPerLink + kBestS]);
    slowest_s = std::max(slowest_s, sums[2 + i * kPerLink + kDenseS]);
  }
  decoded_s_.clear();
  for (auto& [link, sending] : sending_) {
    const std::size_t index = *index_of(link);
    const double micro_batches = pace_.micro_batches;
    double bytes = 0.0;
    double encode_s = 0.0;
    for (const RungSample& sample : sending.samples) {
      bytes += sample.bytes;
      encode_s += sample.encode_s;
    }
    sending.entries_per_micro_batch = std::exchange(sending.entries, 0.0) / micro_batches;
    sending.bytes_per_micro_batch = bytes / micro_batches;
    sending.encode_s_per_micro_batch = encode_s / micro_batches;
    sending.decode_s_per_micro_batch = sums[2 + index * kPerLink + kDecodeS];
    sending.decode_s += sending.decode_s_per_micro_batch * micro_batches;
    const auto state = states_.find(link.receiver());
    sending.budget_s = transfer_budget_s(
        pace_, link.backward, state == states_.end() ? 0.0 : state->second.measure.round_trip_s);
    if (sending.policy) choose_adaptive(index, step, loss, water_level_s, sums);
    if (options_.setting.mode == Mode::kAdaTopK) choose_adatopk(sending, link, slowest_s, step);
    sending.tensors = 0;
    sending.samples.clear();
    sending.trials.clear();
  }
}

// The median of a few steps: a step in which a host was busy with something else is no new pace.
void LinkControl::see_pace(const StageTime& slowest) {
  slowest_.push_back(slowest);
  if (slowest_.size() > kPaceSteps) slowest_.pop_front();
  std::vector<StageTime> sorted(slowest_.begin(), slowest_.end());
  const auto middle = sorted.begin() + static_cast<std::ptrdiff_t>((sorted.size() - 1) / 2);
  std::ranges::nth_element(sorted, middle, {}, &StageTime::sum);
  pace_.forward_s = middle->forward_s;
  pace_.backward_s = middle->backward_s;
}

void LinkControl::choose_adaptive(std::size_t index, std::uint64_t step, double loss,
                                  double water_level_s, std::span<const double> sums) {
  const BoundaryLink& link = links_[index];
  Sending& sending = sending_.at(link);
  const auto of = [&](std::size_t which, Number number) {
    return sums[2 + which * kPerLink + number];
  };
  if (sending.samples.size() == 1) {
    sending.samples.front().decode_s =
        sending.decode_s_per_micro_batch * static_cast<double>(pace_.micro_batches);
  }
  std::vector<RungSample> samples = sending.samples;
  samples.insert(samples.end(), sending.trials.begin(), sending.trials.end());
  compression::StepInput input;
  input.step = step;
  if (const auto state = states_.find(link.receiver()); state != states_.end()) {
    input.link = {.goodput_bytes_per_s = state->second.measure.goodput,
                  .spread = state->second.measure.spread,
                  .lower_bound = state->second.measure.lower_bound};
  }
  input.entries = sending.entries_per_micro_batch;
  input.samples = samples;
  input.budget_s = sending.budget_s;
  input.steady_s = proto::steady_budget_s(pace_, link.backward);
  input.water_level_s = water_level_s;
  input.loss = loss;
  // The other direction of the same boundary.
  const auto other = index_of({link.from, link.to, !link.backward});
  LONGHAUL_ASSERT(other.has_value());
  if (link.backward) {
    const auto forward = compression::unpack(static_cast<std::uint64_t>(of(*other, Number::kRung)));
    if (forward) input.forward = *forward;
    if (const auto hardest = static_cast<std::size_t>(of(*other, Number::kHardest)); hardest > 0) {
      input.forward_hardest = hardest - 1;
    }
  } else {
    input.demand = static_cast<std::size_t>(of(*other, Number::kDemand));
  }
  const compression::Decision decision = sending.policy->next(input);
  sending.rung = decision.rung;
  sending.choice = decision.choice;
  sending.wanted = sending.policy->wanted_trials(1);
  const std::uint64_t changes = sending.begin_changes + sending.policy->changes();
  if (changes != sending.changes) {
    sending.changes = changes;
    sending.change_step = step + 1;
  }
  if (sending.policy->changes() > 0) sending.reason = sending.policy->last_reason();
}

void LinkControl::choose_adatopk(Sending& sending, const BoundaryLink& link, double slowest_s,
                                 std::uint64_t step) {
  const compression::AdaTopK rule{
      .ratio = options_.setting.ratio, .dense_s = dense_s(link, sending), .slowest_s = slowest_s};
  const Rung rung = compression::adatopk_rung(rule);
  if (rung == sending.rung) return;
  sending.reason =
      fmt::format("{} {} -> {}: {:.1f} ms dense of {:.1f} ms on the slowest link",
                  link.backward ? "backward" : "forward", compression::name(sending.rung),
                  compression::name(rung), rule.dense_s * 1e3, slowest_s * 1e3);
  sending.rung = rung;
  ++sending.changes;
  sending.change_step = step + 1;
}

void LinkControl::fill(StageIndex peer, wire::LinkReport& report) const {
  const std::lock_guard lock(mutex_);
  double rate = 0.0;
  if (const auto state = states_.find(peer); state != states_.end()) {
    const proto::LinkMeasure& measure = state->second.measure;
    rate = measure.goodput;
    report.set_goodput(measure.goodput);
    report.set_goodput_is_lower_bound(measure.lower_bound);
    report.set_round_trip_s(measure.round_trip_s);
    report.set_jitter_s(measure.jitter_s);
    report.set_queueing_s(measure.queueing_s);
    report.set_connections(state->second.connections);
    report.set_connection_losses(state->second.losses);
  }
  const bool backward = report.direction() == "backward";
  if (!backward && report.direction() != "forward") return;
  const auto found = sending_.find(backward ? BoundaryLink{peer, options_.self, true}
                                            : BoundaryLink{options_.self, peer, false});
  if (found == sending_.end()) return;
  const Sending& sending = found->second;
  report.set_decode_s(sending.decode_s);
  report.set_rung_changes(static_cast<std::uint32_t>(sending.changes));
  report.set_last_change(sending.reason);
  report.set_last_change_step(sending.change_step);
  if (rate > 0.0) report.set_wire_s_per_microbatch(sending.bytes_per_micro_batch / rate);
  report.set_encode_s_per_microbatch(sending.encode_s_per_micro_batch);
  report.set_decode_s_per_microbatch(sending.decode_s_per_micro_batch);
  report.set_budget_s(sending.budget_s);
}

}  // namespace longhaul::compnode
