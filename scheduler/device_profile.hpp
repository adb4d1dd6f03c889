// What was measured of a model on one kind of device, and what follows for other shapes.
#pragma once

#include "proto/error.hpp"
#include "proto/graph.hpp"
#include "scheduler/simulator/pipeline_work.hpp"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace longhaul::scheduler {

// One operator, one micro-batch of `batch` sequences of `sequence` tokens.
struct ProfilePoint {
  double batch = 0.0;
  double sequence = 0.0;
  StageTime time;
};

struct CodecProfile {
  std::string rung;  // as compression/format.md names it
  double bits_per_entry = 0.0;
  double encode_s_per_entry = 0.0;
  double decode_s_per_entry = 0.0;
};

struct DeviceProfile {
  std::string kind;       // of device
  std::string precision;  // "fp32" or "bf16"
  std::uint32_t threads = 1;
  double processors = 0.0;  // of the host; 0: computation does not share them
  // [n]: the work that n + 1 busy devices of one host get done, over that of one. Empty: n + 1.
  std::vector<double> side_by_side;
  double update_s_per_parameter = 0.0;
  double overlap_slowdown = 1.0;
  double carry_s_per_byte = 0.0;  // of a processor, for a byte that a stage sends or receives
  std::map<std::string, std::vector<ProfilePoint>> operators;  // by proto::operator_class
  std::vector<CodecProfile> codecs;
};

// What an operator takes at a shape: as measured, where it was measured at that shape; else by
// c0 + c1 B T + c2 B T T, whose coefficients are not negative and have the least sum of squared
// relative errors over the points, separately for each phase.
// kConfiguration if the profile lacks the class: names it, the kind, and the classes that it has.
[[nodiscard]] proto::Result<StageTime> time_of(const DeviceProfile& profile,
                                               const std::string& operator_class,
                                               const proto::ShapeBinding& binding);

}  // namespace longhaul::scheduler
