// Steps of a pipeline on virtual time.
#include "tests/unit/compression/simulated_link.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace longhaul::compression {
namespace {

// Of the computation's time: what hosts that wake up late add to each message of a link that is
// not full.
constexpr double kLate = 0.1;

double value_bits(const Rung& rung) {
  switch (rung.format) {
    case ValueFormat::kInt3:
      return 3.5;
    case ValueFormat::kInt4:
      return rung.packed ? 2.9 : 4.25;
    case ValueFormat::kInt6:
      return rung.packed ? 4.7 : 6.25;
    case ValueFormat::kInt8:
      return rung.packed ? 6.6 : 8.125;
    case ValueFormat::kBf16:
      return 16.0;
    case ValueFormat::kInt16:
      return 16.125;
    case ValueFormat::kFp32:
      return 32.0;
  }
  return 32.0;
}

double value_error(const Rung& rung) {
  switch (rung.format) {
    case ValueFormat::kInt3:
      return 5e-2;
    case ValueFormat::kInt4:
      return 1e-2;
    case ValueFormat::kInt6:
      return 6e-4;
    case ValueFormat::kInt8:
      return 4e-5;
    case ValueFormat::kBf16:
      return 2e-6;
    case ValueFormat::kInt16:
      return 1e-9;
    case ValueFormat::kFp32:
      return 0.0;
  }
  return 0.0;
}

double density_of(const Rung& rung) {
  return static_cast<double>(rung.density) / static_cast<double>(kWholeDensity);
}

}  // namespace

double simulated_bytes_per_entry(const Rung& rung) {
  if (rung.selection == Selection::kAll) return value_bits(rung) / 8.0;
  const double density = density_of(rung);
  const double bits = std::log2(1.0 / density) + 1.44 + value_bits(rung);
  return std::min(density * bits / 8.0, 4.0);
}

Distortion simulated_distortion(const Rung& rung) {
  const double density = density_of(rung);
  const double threshold = std::log(1.0 / density);
  const double kept = density * (1.0 + threshold + 0.5 * threshold * threshold);
  return {.squared_error = 1.0 - kept + kept * value_error(rung), .squares = 1.0};
}

RungSample simulated_sample(const SimulatedLink& link, const Rung& rung, double entries) {
  const double coding = rung == Rung{} ? 0.0 : link.coding_s_per_entry * entries;
  return {.rung = rung,
          .entries = entries,
          .mask_density = kWholeDensity,
          .bytes = entries * simulated_bytes_per_entry(rung),
          .encode_s = 0.7 * coding,
          .decode_s = 0.3 * coding,
          .distortion = simulated_distortion(rung)};
}

double SimulatedRun::efficiency(const SimulatedLink& link, std::size_t first) const {
  double took = 0.0;
  for (std::size_t i = first; i < steps.size(); ++i) took += steps[i].seconds;
  const auto count = static_cast<double>(steps.size() - first);
  return count * link.micro_batches * link.compute_s / took;
}

SimulatedRun simulate(const SimulatedLink& link, std::uint64_t steps) {
  LinkPolicy policy(link.options);
  SimulatedRun run;
  std::mt19937_64 random(link.seed);
  std::uniform_real_distribution<double> noise(1.0 - link.noise, 1.0 + link.noise);
  double now_s = 0.0;
  for (std::uint64_t step = 0; step < steps; ++step) {
    const Rung rung = policy.rung();
    const RungSample once = simulated_sample(link, rung, link.entries);
    SimulatedStep record{
        .rung = rung, .began_s = now_s, .seconds = 0.0, .decision = {}, .changes = 0};
    double wire_s = 0.0;
    for (std::uint32_t i = 0; i < link.micro_batches; ++i) {
      const double wire = once.bytes / link.bytes_per_s(now_s);
      const double took = std::max(link.compute_s, once.encode_s + wire + *once.decode_s);
      wire_s += wire;
      now_s += took;
      record.seconds += took;
    }
    const double bytes = once.bytes * link.micro_batches;
    const bool exact = link.meter == SimulatedLink::Meter::kExact;
    const bool full = exact || wire_s >= 0.9 * record.seconds;
    std::vector<RungSample> samples;
    samples.push_back(simulated_sample(link, rung, link.entries * link.micro_batches));
    for (const Rung& wanted : policy.wanted_trials(step == 0 ? 16 : 1)) {
      samples.push_back(simulated_sample(link, wanted, 1e4));
    }
    StepInput input;
    input.step = step;
    const double late_s = full ? 0.0 : kLate * link.compute_s * link.micro_batches;
    input.link = {.goodput_bytes_per_s = noise(random) * bytes / (wire_s + late_s),
                  .spread = link.noise / std::sqrt(3.0),
                  .lower_bound = !full};
    input.entries = link.entries;
    input.samples = samples;
    input.budget_s = link.compute_s;
    if (link.water_level_s) input.water_level_s = link.water_level_s(step);
    if (link.loss) input.loss = link.loss(step);
    record.decision = policy.next(input);
    record.changes = policy.changes();
    run.steps.push_back(std::move(record));
  }
  run.changes = policy.changes();
  return run;
}

}  // namespace longhaul::compression
