// A model of several units in one pipeline, what each takes at each degree, and what a placement of
// them on devices costs: DistTrain's formulas.
#pragma once

#include "proto/error.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace longhaul::scheduler {

// Devices of one kind, behind links fast enough for any unit.
struct DevicePool {
  std::string name;
  std::uint32_t devices = 0;
  double memory_bytes = 0;      // that a unit may use of each device
  double peak_flops_per_s = 0;  // of each device; 0: unknown, and no MFU is told
};

// One way to run a unit: on which kind of device, cut into how many parts by tensor parallelism,
// and keeping how much for the backward.
struct UnitOption {
  std::size_t pool = 0;  // index into UnitsProblem::pools
  std::uint32_t tensor = 1;
  double sample_s = 0;  // forward and backward of one sample by `tensor` devices together
  // Of UnitMemory::activation_bytes, what is kept: less than 1 where layers are recomputed, which
  // sample_s then holds. Options of the same pool and degree may differ in it.
  double activation_share = 1.0;
};

// Bytes on a device that holds 1/tensor of the unit, and of the backbone a stage's share of that.
struct UnitMemory {
  double state_bytes = 0;          // whole unit, kept by every data-parallel replica
  double sharded_state_bytes = 0;  // whole unit, split between the replicas as ZeRO-1 does
  double activation_bytes = 0;     // whole unit, per sample from its forward to its backward
  double fixed_bytes = 0;          // per device, whatever the degrees
};

struct Unit {
  std::string name;
  std::vector<UnitOption> options = {};
  UnitMemory memory = {};
  double flops = 0;  // forward and backward of one sample, for the MFU
  // Into how many equal pieces a broker may cut one sample (its images): a replica works on whole
  // pieces. 0: any fraction, as the published formula has it. Not for the backbone.
  std::uint32_t pieces = 0;
};

struct UnitsProblem {
  std::vector<Unit> units;   // in the order in which a sample passes them
  std::size_t backbone = 0;  // index of the unit that is pipeline-parallel itself
  std::uint32_t layers = 1;  // of the backbone, all alike: it has at most so many stages
  std::vector<DevicePool> pools;
  std::uint32_t batch = 1;        // samples of a global batch
  std::uint32_t micro_batch = 1;  // samples of one micro-batch of a backbone pipeline
  // Replicas of the backbone, which divide the micro-batches; 0: as many as are best.
  std::uint32_t data = 0;
};

struct UnitPlacement {
  std::size_t option = 0;  // index into Unit::options
  std::size_t pool = 0;    // the option's, as is tensor
  std::uint32_t tensor = 1;
  std::uint32_t data = 1;      // replicas
  std::uint32_t pipeline = 1;  // stages; 1 but for the backbone
  double round_s = 0;          // T of the unit: what one stage works on one micro-batch
  double memory_bytes = 0;     // on its fullest device

  [[nodiscard]] std::uint32_t devices() const { return tensor * data * pipeline; }
};

// A placement and its price. With DP the backbone's replicas, a round is one micro-batch of each:
// DP * micro_batch samples, which brokers split anew before and after the backbone.
//   fill_s       = micro_batch * sample_s of the backbone + sum of the others' round_s
//   bottleneck_s = the largest round_s
//   step_s       = fill_s + bottleneck_s * (micro_batches - 1)
// Source: DistTrain (arXiv 2408.04275), section 4; gradient reduction and transfers are hidden.
struct UnitsPlan {
  std::vector<UnitPlacement> units;  // as UnitsProblem::units
  std::uint32_t micro_batches = 1;   // of each backbone replica in a step
  double fill_s = 0;
  double bottleneck_s = 0;
  double step_s = 0;
  std::size_t bottleneck = 0;      // the unit with the largest round_s, the first of equals
  std::uint32_t devices_used = 0;  // over all pools
  double mfu = 0;  // flops of the batch over step_s and the peak of the devices used; 0: unknown
};

// Errors (kConfiguration): no unit, no option, an unknown pool or backbone, a degree of 0, times
// that are not positive and finite, negative bytes, a micro-batch that does not divide the batch.
[[nodiscard]] proto::Result<void> check_problem(const UnitsProblem& problem);

// What a unit takes, given the degrees of the backbone. `problem` has passed check_problem.
struct BackboneDegrees {
  std::uint32_t data = 1;      // divides batch / micro_batch
  std::uint32_t pipeline = 1;  // 1 to layers
};

// Layers of the fullest stage over all layers.
[[nodiscard]] double stage_share(const UnitsProblem& problem, std::uint32_t pipeline);

// round_s of a unit under one of its options. `data` is the unit's own degree.
[[nodiscard]] double round_s(const UnitsProblem& problem, std::size_t unit,
                             const UnitOption& option, BackboneDegrees backbone,
                             std::uint32_t data);

struct UnitMemoryNeed {
  double states = 0;
  double activations = 0;
  double fixed = 0;
  [[nodiscard]] double total() const { return states + activations + fixed; }
};

// Bytes of the unit's fullest device under 1F1B: activations of every micro-batch that is in flight
// there, which is one for each stage from this one to the last, and at most all of the step. The
// backbone's fullest device is in its first stage. Falls, or stays, as `data` grows.
[[nodiscard]] UnitMemoryNeed memory_need(const UnitsProblem& problem, std::size_t unit,
                                         const UnitOption& option, BackboneDegrees backbone,
                                         std::uint32_t data);

// The smallest data degree, at most `most`, with which the unit fits into bytes; nothing if none.
[[nodiscard]] std::optional<std::uint32_t> smallest_data_degree(const UnitsProblem& problem,
                                                                std::size_t unit,
                                                                const UnitOption& option,
                                                                BackboneDegrees backbone,
                                                                double bytes, std::uint32_t most);

// A plan of which only the choices are known: per unit the index of its option and its data degree
// (the backbone's being backbone.data).
[[nodiscard]] UnitsPlan price(const UnitsProblem& problem, std::span<const std::size_t> options,
                              BackboneDegrees backbone, std::span<const std::uint32_t> data);

// The same plan as one 1F1B pipeline in which every stage takes its own time, by the longest path
// (pipeline_time.hpp): no formula, no contention, no transfers. `forward` is the forward's part of
// a round, in (0, 1).
[[nodiscard]] double one_f_one_b_s(const UnitsProblem& problem, const UnitsPlan& plan,
                                   double forward = 1.0 / 3.0);

// The MFU of a plan whose step takes step_s seconds; 0 where flops or peak rates are unknown.
[[nodiscard]] double mfu_at(const UnitsProblem& problem, const UnitsPlan& plan, double step_s);

}  // namespace longhaul::scheduler
