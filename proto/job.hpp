// What everything behind a wire::Job may rely on once validate_job has passed it.
#pragma once

#include "proto/error.hpp"
#include "proto/job.pb.h"

#include <cstdint>
#include <optional>
#include <string_view>

namespace longhaul::proto {

enum class Precision {
  kFp32,
  kBf16,  // activations and a copy of the weights in bf16; masters, gradients, optimizer in fp32
};
[[nodiscard]] std::string_view precision_name(Precision precision);  // "fp32", "bf16"
[[nodiscard]] std::optional<Precision> precision_kind(std::string_view name);
[[nodiscard]] std::int64_t activation_bytes(Precision precision);  // per element: 4 or 2

// Bounds beside the ones that follow from the fields' meaning.
inline constexpr std::uint32_t kMaximumMicroBatches = 65536;
inline constexpr std::uint32_t kMaximumBatch = 1u << 20;
inline constexpr std::uint32_t kMaximumSequenceLength = 1u << 24;
inline constexpr std::uint64_t kMaximumSteps = 1'000'000'000'000;
inline constexpr int kMaximumTrainFiles = 100'000;
inline constexpr int kMaximumDataNodes = 10'000;

// Checks every field of a job that comes from elsewhere: names, absolute paths, finite numbers in
// range, known optimizer, decay, precision, schedule and compression, and that micro_batch divides
// batch. Looks at nothing but the message: whether files exist is for their owner. The error is
// kConfiguration and names the field as the job file does ("training.micro_batch").
[[nodiscard]] Result<void> validate_job(const wire::Job& job);

}  // namespace longhaul::proto
