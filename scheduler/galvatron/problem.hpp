// What the search is asked: a model, a machine, a batch, and what the training runtime does.
#pragma once

#include "proto/error.hpp"
#include "proto/job.hpp"
#include "proto/pipeline_schedule.hpp"
#include "scheduler/galvatron/strategy.hpp"

#include <cstdint>

namespace longhaul::scheduler::galvatron {

inline constexpr std::uint32_t kMaxDevices = 1u << 16;
inline constexpr std::uint32_t kMaxLayers = 1000;
inline constexpr std::uint64_t kMaxMemoryMb = 1u << 20;

struct Problem {
  std::uint32_t layers = 1;     // alike, one behind the other
  std::uint64_t hidden = 1;     // width of an activation
  std::uint64_t sequence = 1;   // tokens in a sample
  std::uint32_t devices = 1;    // alike; a power of two
  std::uint64_t memory_mb = 0;  // of a device, in 2^20 bytes
  std::uint32_t batch = 1;      // samples per step
  std::uint32_t chunks = 1;     // micro-batches per step; divides batch
  bool one_for_all = false;     // coarse: one strategy for all layers, embedding and head
  proto::ScheduleKind schedule = proto::ScheduleKind::kOneForwardOneBackward;
  proto::Precision precision = proto::Precision::kBf16;
  Sharding with_data = Sharding::kGradientsAndStates;  // as StrategySpace's
  bool reduces_asynchronously = false;  // else gradients are reduced after every micro-batch

  [[nodiscard]] StrategySpace space() const { return {devices, layers, with_data}; }
};

// kConfiguration: a number that is zero or beyond the limits above, devices that are no power of
// two, chunks that do not divide the batch.
[[nodiscard]] proto::Result<void> check(const Problem& problem);

// Of a device, for the plan: a fifth of it is kept free for the allocator's cache where a device
// has 21 GB or more.
[[nodiscard]] std::uint64_t usable_memory_mb(std::uint64_t memory_mb);

}  // namespace longhaul::scheduler::galvatron
