// What Galvatron's profiler measured of a model and a machine, and what the search takes from it
// for one sequence length.
#pragma once

#include "proto/error.hpp"

#include <cstdint>
#include <map>
#include <vector>

namespace longhaul::scheduler::galvatron {

// Forward time of one sample on one device; a layer's, or that of embedding and head together.
struct TimeAtSequence {
  std::uint64_t sequence = 0;  // tokens
  double ms = 0.0;
};

using ByDegree = std::map<std::uint32_t, double>;

struct LayerMemory {
  double parameters_mb = 0.0;             // fp32, whole
  ByDegree activation_mb;                 // of one sample per device, by tensor or Ulysses degree
  double checkpoint_activation_mb = 0.0;  // the layer's input, of one sample on one device
};

// Everything but the layers: embedding and head, as far as they stand on one stage.
struct RestMemory {
  ByDegree states_mb;      // parameters, gradients and optimizer state, by tensor degree
  ByDegree activation_mb;  // of one sample per device, by tensor or Ulysses degree
};

struct StageRestMemory {
  RestMemory alone;  // the only stage of a pipeline
  RestMemory first;
  RestMemory last;
};

using MsBySize = std::map<std::uint64_t, double>;  // by message in MB

// MB and GB are 2^20 and 2^30 bytes, as in Galvatron's files.
struct Profile {
  std::vector<TimeAtSequence> layer_times;
  std::vector<TimeAtSequence> rest_times;
  std::map<std::uint64_t, LayerMemory> layer_memory;     // by sequence
  std::map<std::uint64_t, StageRestMemory> rest_memory;  // by sequence
  ByDegree all_reduce_gb_per_s;                          // of so many neighbouring devices
  ByDegree strided_all_reduce_gb_per_s;  // of so many devices in strides; not for all devices
  ByDegree point_to_point_gb_per_s;      // between the stages of so many
  double overlap_slowdown = 1.0;  // of computation and communication that run at the same time
  std::map<std::uint32_t, MsBySize> all_reduce_ms;  // by number of neighbouring devices
  std::map<std::uint32_t, MsBySize> all_to_all_ms;
};

// Refuses what the search could not use for so many devices, a power of two: times of fewer than
// three (layer) or two (rest) sequences, no memory, a degree that is missing, a number that is not
// positive and finite. kConfiguration; the message names it.
[[nodiscard]] proto::Result<void> check(const Profile& profile, std::uint32_t devices);

// Times of collectives over the message: measured sizes as measured, others on the fitted line.
class CollectiveTime {
 public:
  explicit CollectiveTime(MsBySize measured);  // at least two sizes
  [[nodiscard]] double ms(double message_mb) const;

 private:
  MsBySize measured_;
  double slope_ = 0.0;
  double constant_ = 0.0;
};

// A checked profile at one sequence length: times by least squares, quadratic in the sequence for a
// layer and linear for the rest; activations in proportion from the longest sequence; parameters of
// the shortest, since they do not depend on it.
struct ModelAtSequence {
  double layer_ms = 0.0;
  double rest_ms = 0.0;
  LayerMemory layer;
  StageRestMemory rest;
};

// kConfiguration where the fit gives a time that is not positive, far from all measured sequences.
[[nodiscard]] proto::Result<ModelAtSequence> at_sequence(const Profile& profile,
                                                         std::uint64_t sequence);

}  // namespace longhaul::scheduler::galvatron
