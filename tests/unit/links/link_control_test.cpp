// Two stages that choose rungs from what their links show and from what they tell each other.
#include "compnode/links/link_control.hpp"

#include "compression/link_rules.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace longhaul::compnode {
namespace {

using compression::Rung;
using proto::StageIndex;

constexpr double kEntries = 1e6;  // of a micro-batch
constexpr std::uint32_t kMicroBatches = 200;

const BoundaryLink kForward{StageIndex{0}, StageIndex{1}, false};
const BoundaryLink kBackward{StageIndex{0}, StageIndex{1}, true};

proto::Plan plan_of_two() {
  proto::Plan plan;
  plan.stages.resize(2);
  plan.schedule = proto::ScheduleKind::kOneForwardOneBackward;
  plan.run_ahead = 4;
  plan.micro_batches = kMicroBatches;
  plan.micro_batch_size = 1;
  return plan;
}

struct TwoStages {
  explicit TwoStages(const std::string& setting) {
    for (const std::uint32_t stage : {0u, 1u}) {
      controls.push_back(std::make_unique<LinkControl>(
          std::vector{kForward, kBackward}, plan_of_two(),
          LinkControl::Options{.self = StageIndex{stage},
                               .setting = proto::parse_compression(setting).value(),
                               .from_scratch = true,
                               .steps = 1000}));
    }
  }

  // Bits per entry that a rung really makes.
  static double bytes_of(const Rung& rung) {
    const double density =
        static_cast<double>(rung.density) / static_cast<double>(compression::kWholeDensity);
    const double bits = rung.selection == compression::Selection::kIndexed ? 96.0
                        : rung.format == compression::ValueFormat::kFp32
                            ? 32.0
                            : static_cast<double>(rung.format);
    return kEntries * density * (bits + (density < 1.0 ? 4.0 : 0.0)) / 8.0;
  }

  static compression::RungSample sample(const Rung& rung, double scale) {
    compression::RungSample sample;
    sample.rung = rung;
    sample.entries = kEntries * scale;
    sample.bytes = bytes_of(rung) * scale;
    sample.encode_s = 1e-4 * scale;
    sample.distortion = {0.01, 1.0};
    return sample;
  }

  void step(double goodput, double compute_s, bool lower_bound = false) {
    for (auto& control : controls) {
      proto::LinkState state;
      state.measure.goodput = goodput;
      state.measure.lower_bound = lower_bound;
      state.measure.round_trip_s = 0.001;
      control->on_state(StageIndex{control == controls[0] ? 1u : 0u}, state);
    }
    const Rung forward = controls[0]->rung_for(kForward, Rung());
    const Rung backward = controls[1]->rung_for(kBackward, forward);
    controls[0]->on_encoded(kForward, sample(forward, kMicroBatches));
    auto answer = sample(backward, kMicroBatches);
    if (compression::shares_mask(forward)) {
      answer.mask_density = forward.density;
      answer.bytes *= static_cast<double>(forward.density) / compression::kWholeDensity;
    }
    controls[1]->on_encoded(kBackward, answer);
    controls[1]->on_decoded(kForward, 1e-4 * kMicroBatches);
    controls[0]->on_decoded(kBackward, 1e-4 * kMicroBatches);
    for (const auto& [control, link] :
         {std::pair{controls[0].get(), kForward}, std::pair{controls[1].get(), kBackward}}) {
      while (const auto rung = control->take_trial(link)) {
        control->on_trial(link, sample(*rung, 0.01));
      }
    }
    std::vector<std::vector<double>> told;
    for (auto& control : controls) {
      told.push_back(control->numbers(compute_s / 3, compute_s * 2 / 3));
      REQUIRE(told.back().size() == control->number_count());
    }
    for (auto& control : controls) control->end_step(steps, 5.0, told);
    ++steps;
  }

  [[nodiscard]] Rung forward() const { return controls[0]->rung_for(kForward, Rung()); }
  [[nodiscard]] Rung backward() const { return controls[1]->rung_for(kBackward, forward()); }

  std::vector<std::unique_ptr<LinkControl>> controls;
  std::uint64_t steps = 0;
};

TEST_CASE("link_control: dense and fixed settings never change") {
  TwoStages dense("dense");
  CHECK_FALSE(dense.controls[0]->compresses());
  TwoStages fixed("fixed(topk10%-int4)");
  CHECK(fixed.controls[0]->compresses());
  const Rung before = fixed.forward();
  CHECK(compression::name(before).starts_with("topk10%-int4"));
  CHECK(fixed.backward() == compression::masked_values_of(before));
  fixed.step(1e5, 0.1);
  CHECK(fixed.forward() == before);
  CHECK(check_setting(proto::parse_compression("fixed(nothing)").value()).has_error());
}

TEST_CASE("link_control: a fast link stays dense, a slow one goes down the ladder at both ends") {
  TwoStages fast("adaptive");
  for (int i = 0; i < 10; ++i) fast.step(1e10, 0.1);
  CHECK(compression::name(fast.forward()) == "fp32");
  TwoStages slow("adaptive");  // dense takes 10 computations
  for (int i = 0; i < 20; ++i) slow.step(4e6, 0.1);
  CHECK(TwoStages::bytes_of(slow.forward()) / 4e6 < 0.1);
  CHECK(TwoStages::bytes_of(slow.forward()) < TwoStages::bytes_of(Rung()) / 8);
  wire::LinkReport report;
  report.set_direction("forward");
  slow.controls[0]->fill(StageIndex{1}, report);
  CHECK(report.rung_changes() > 0);
  CHECK(report.last_change().starts_with("forward "));
  CHECK(report.budget_s() > 0.0);
  CHECK(report.decode_s_per_microbatch() == doctest::Approx(1e-4));
  report.set_direction("backward");
  slow.controls[1]->fill(StageIndex{0}, report);
  CHECK(report.wire_s_per_microbatch() < 0.1);
  // And back, when the link is fast again.
  for (int i = 0; i < 60; ++i) slow.step(1e10, 0.1);
  CHECK(compression::name(slow.forward()) == "fp32");
}

TEST_CASE("link_control: adatopk divides the ratio by the links' times") {
  TwoStages job("adatopk(100)");
  CHECK(job.forward() == Rung());
  job.step(1e6, 0.1);  // entries are known after the first step
  job.step(1e6, 0.1);
  // Both links are equally slow: 3 r each.
  CHECK(compression::name(job.forward()).starts_with("indexed"));
  CHECK(job.forward().density == doctest::Approx(compression::kWholeDensity / 300.0).epsilon(0.01));
  CHECK(job.backward() == job.forward());
}

}  // namespace
}  // namespace longhaul::compnode
