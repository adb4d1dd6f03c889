// The limits of a problem, and what of a device's memory a plan may use.
#include "scheduler/galvatron/problem.hpp"

#include <fmt/format.h>

#include <bit>
#include <string_view>

namespace longhaul::scheduler::galvatron {
namespace {

constexpr std::uint64_t kMaxExtent = 1u << 24;  // hidden, sequence, batch
constexpr std::uint64_t kMbPerGb = 1024;

proto::Result<void> within(std::string_view what, std::uint64_t value, std::uint64_t most) {
  if (value >= 1 && value <= most) return {};
  return proto::configuration_error(fmt::format("{} is {}; it must be 1 to {}", what, value, most));
}

}  // namespace

proto::Result<void> check(const Problem& problem) {
  for (const auto& limited : {within("the number of layers", problem.layers, kMaxLayers),
                              within("the hidden size", problem.hidden, kMaxExtent),
                              within("the sequence", problem.sequence, kMaxExtent),
                              within("the number of devices", problem.devices, kMaxDevices),
                              within("a device's memory in MB", problem.memory_mb, kMaxMemoryMb),
                              within("the batch", problem.batch, kMaxExtent),
                              within("the number of chunks", problem.chunks, problem.batch)}) {
    if (!limited) return limited.error();
  }
  if (!std::has_single_bit(problem.devices)) {
    return proto::configuration_error(fmt::format(
        "the number of devices is {}; Galvatron's search knows powers of two only: take "
        "{} or {}",
        problem.devices, std::bit_floor(problem.devices), std::bit_ceil(problem.devices)));
  }
  if (problem.batch % problem.chunks != 0) {
    return proto::configuration_error(
        fmt::format("{} chunks do not divide a batch of {} samples; take a divisor of it",
                    problem.chunks, problem.batch));
  }
  return {};
}

std::uint64_t usable_memory_mb(std::uint64_t memory_mb) {
  constexpr std::uint64_t kSmallGb = 20;
  return memory_mb / kMbPerGb > kSmallGb ? memory_mb - memory_mb / 5 : memory_mb;
}

}  // namespace longhaul::scheduler::galvatron
