// The generator of small problems, and nested loops over everything that can be chosen.
#include "tests/unit/scheduler/units/random_units.hpp"

#include <algorithm>
#include <cmath>
#include <random>

namespace longhaul::scheduler {
namespace {

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : random_(seed) {}

  std::uint32_t integer(std::uint32_t low, std::uint32_t high) {
    return low + static_cast<std::uint32_t>(random_() % (high - low + 1));
  }
  double real(double low, double high) {
    return low + (high - low) * static_cast<double>(random_() >> 11U) * 0x1.0p-53;
  }
  double spread(double low, double high) { return low * std::pow(high / low, real(0.0, 1.0)); }

 private:
  std::mt19937_64 random_;
};

// Recursion over units; what has been chosen so far is in the members.
class Trier {
 public:
  explicit Trier(const UnitsProblem& problem) : problem_(problem) {
    for (const DevicePool& pool : problem.pools) left_.push_back(pool.devices);
  }

  Trial run() {
    const std::uint32_t micro_batches = problem_.batch / problem_.micro_batch;
    for (data_ = 1; data_ <= micro_batches; ++data_) {
      if (micro_batches % data_ != 0) continue;
      for (stages_ = 1; stages_ <= problem_.layers; ++stages_) {
        rounds_ = micro_batches / data_;
        choose(0, 0.0, 0.0);
      }
    }
    return trial_;
  }

 private:
  void choose(std::size_t unit, double fill, double largest) {
    if (unit == problem_.units.size()) {
      ++trial_.plans;
      trial_.step_s = std::min(trial_.step_s, fill + largest * (rounds_ - 1));
      return;
    }
    for (const UnitOption& option : problem_.units[unit].options) {
      if (unit == problem_.backbone) {
        place_backbone(unit, option, fill, largest);
        continue;
      }
      for (std::uint32_t replicas = 1; replicas * option.tensor <= left_[option.pool]; ++replicas) {
        place(unit, option, replicas, fill, largest);
      }
    }
  }

  void place_backbone(std::size_t unit, const UnitOption& option, double fill, double largest) {
    const std::uint32_t devices = option.tensor * data_ * stages_;
    if (devices > left_[option.pool]) return;
    const double layers = std::ceil(double{1} * problem_.layers / stages_);
    const double share = layers / problem_.layers;
    const double after = static_cast<double>(problem_.units.size() - unit - 1);
    const double in_flight = std::min<double>(stages_ + after, rounds_);
    const UnitMemory& memory = problem_.units[unit].memory;
    const double bytes =
        share / option.tensor *
            (memory.state_bytes + memory.sharded_state_bytes / data_ +
             option.activation_share * memory.activation_bytes * in_flight * problem_.micro_batch) +
        memory.fixed_bytes;
    if (bytes > problem_.pools[option.pool].memory_bytes) return;
    left_[option.pool] -= devices;
    choose(unit + 1, fill + problem_.micro_batch * option.sample_s,
           std::max(largest, problem_.micro_batch * option.sample_s * share));
    left_[option.pool] += devices;
  }

  void place(std::size_t unit, const UnitOption& option, std::uint32_t replicas, double fill,
             double largest) {
    const Unit& what = problem_.units[unit];
    double samples = double{1} * data_ * problem_.micro_batch / replicas;
    if (what.pieces > 0) {
      const std::uint32_t pieces = data_ * problem_.micro_batch * what.pieces;
      samples = (pieces / replicas + (pieces % replicas > 0 ? 1.0 : 0.0)) / what.pieces;
    }
    const double behind = static_cast<double>(problem_.units.size() - unit - 1) +
                          (unit < problem_.backbone ? stages_ - 1.0 : 0.0);
    const double in_flight = std::min<double>(behind + 1.0, rounds_);
    const double bytes =
        (what.memory.state_bytes + what.memory.sharded_state_bytes / replicas +
         option.activation_share * what.memory.activation_bytes * in_flight * samples) /
            option.tensor +
        what.memory.fixed_bytes;
    if (bytes > problem_.pools[option.pool].memory_bytes) return;
    left_[option.pool] -= replicas * option.tensor;
    const double round = samples * option.sample_s;
    choose(unit + 1, fill + round, std::max(largest, round));
    left_[option.pool] += replicas * option.tensor;
  }

  const UnitsProblem& problem_;
  std::vector<std::uint32_t> left_;  // devices per pool
  std::uint32_t data_ = 1;           // of the backbone
  std::uint32_t stages_ = 1;
  std::uint32_t rounds_ = 1;
  Trial trial_;
};

}  // namespace

UnitsProblem random_units(std::uint64_t seed) {
  Draw draw(seed);
  UnitsProblem problem;
  const std::uint32_t units = draw.integer(1, 4);
  const std::uint32_t pools = draw.integer(1, 3) == 1 ? 2 : 1;
  problem.backbone = draw.integer(0, units - 1);
  problem.layers = draw.integer(1, 8);
  problem.micro_batch = draw.integer(1, 3);
  problem.batch = problem.micro_batch * draw.integer(1, 24);
  for (std::uint32_t p = 0; p < pools; ++p) {
    problem.pools.push_back({.name = p == 0 ? "a" : "b",
                             .devices = draw.integer(2, units == 4 ? 11 : 24 / pools),
                             .memory_bytes = draw.real(0.5, 4.0),
                             .peak_flops_per_s = draw.real(1.0, 3.0)});
  }
  for (std::uint32_t u = 0; u < units; ++u) {
    Unit unit{.name = "unit " + std::to_string(u), .flops = draw.real(0.1, 1.0)};
    const double sample_s = draw.spread(0.1, 10.0);
    const double loss = draw.real(0.75, 1.0);  // of efficiency, with each further device
    for (std::uint32_t p = 0; p < pools; ++p) {
      const double speed = draw.real(0.5, 1.0);
      for (const std::uint32_t tensor : {1U, 2U, 3U, 4U}) {
        if (tensor > 1 && draw.integer(0, 2) == 0) continue;
        const double efficiency = std::pow(loss, tensor - 1) * draw.real(0.9, 1.0);
        unit.options.push_back({p, tensor, sample_s / (speed * tensor * efficiency)});
        if (draw.integer(0, 2) > 0) continue;
        unit.options.push_back(unit.options.back());  // recomputed
        unit.options.back().sample_s *= 4.0 / 3.0;
        unit.options.back().activation_share = 0.1;
      }
    }
    unit.memory = {.state_bytes = draw.spread(0.05, 2.0),
                   .sharded_state_bytes = draw.spread(0.05, 2.0),
                   .activation_bytes = draw.spread(0.001, 0.3),
                   .fixed_bytes = 0.05};
    if (u != problem.backbone && draw.integer(0, 1) == 0) unit.pieces = draw.integer(1, 5);
    problem.units.push_back(std::move(unit));
  }
  return problem;
}

Trial try_every_plan(const UnitsProblem& problem) { return Trier(problem).run(); }

}  // namespace longhaul::scheduler
