// A link in a pipeline, as far as its policy can see it: a speed that changes with time,
// micro-batches that wait for it, and the readings that a worker would make.
#pragma once

#include "compression/link_policy.hpp"

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

namespace longhaul::compression {

// Bytes per entry of a rung: bits of values and indices as on normal numbers; close to format.md.
[[nodiscard]] double simulated_bytes_per_entry(const Rung& rung);
// Top-k of Laplace-distributed numbers, and the error of the quantiser.
[[nodiscard]] Distortion simulated_distortion(const Rung& rung);

struct SimulatedLink {
  enum class Meter {
    kExact,  // every step's goodput is measured
    kBusy,   // bytes over time, a lower bound unless the wire was busy nine tenths of it
  };

  PolicyOptions options;
  std::function<double(double)> bytes_per_s;  // of time in seconds
  double compute_s = 0.05;                    // per micro-batch: the budget
  std::uint32_t micro_batches = 8;
  double entries = 1 << 20;
  double noise = 0.0;  // of readings: uniform, plus or minus
  Meter meter = Meter::kExact;
  std::function<double(std::uint64_t)> loss;  // of the step; null: not known
  std::function<double(std::uint64_t)> water_level_s;
  std::uint64_t seed = 1;
  double coding_s_per_entry = 1e-9;

  // A bandwidth at which the dense transfer takes `rho` times the compute.
  [[nodiscard]] double speed_for(double rho) const { return entries * 4.0 / (rho * compute_s); }
};

struct SimulatedStep {
  Rung rung;  // under which the step ran
  double began_s = 0.0;
  double seconds = 0.0;
  Decision decision;          // after it
  std::uint64_t changes = 0;  // until then
};

struct SimulatedRun {
  std::vector<SimulatedStep> steps;
  std::uint64_t changes = 0;

  // Of the steps from `first` on: compute time over time.
  [[nodiscard]] double efficiency(const SimulatedLink& link, std::size_t first) const;
};

// One sample as the worker would make it, of `entries` entries.
[[nodiscard]] RungSample simulated_sample(const SimulatedLink& link, const Rung& rung,
                                          double entries);

[[nodiscard]] SimulatedRun simulate(const SimulatedLink& link, std::uint64_t steps);

}  // namespace longhaul::compression
