// How much memory a stage needs, by category, before anything runs.
#pragma once

#include "proto/graph.hpp"
#include "proto/job.hpp"
#include "proto/plan.hpp"

#include <cstdint>
#include <span>
#include <string>

namespace longhaul::scheduler {

// Bytes of tensors at the stage's peak within a training step. E: elements of the parameters that
// the stage uses, each once; U: elements over all uses, a tied parameter once per operator.
// Checkpoints add nothing: they are written from masters and moments as they lie there, while the
// next step computes, and its update waits until they have been read.
struct MemoryEstimate {
  std::uint64_t parameters = 0;  // 4 E (fp32 masters), and 2 E for the bf16 copies under bf16
  std::uint64_t gradients = 0;   // 4 U
  std::uint64_t optimizer = 0;   // 8 E: AdamW's two moments
  // What micro-batches keep for later: of the `in_flight`, `awaiting_weights` of them
  // kept_for_weights_per_micro_batch each, the others saved_per_micro_batch.
  std::uint64_t activations = 0;
  // What the micro-batch being computed holds at its peak beyond what it keeps: values on their
  // way to the last reader, gradients, and the operators' own scratch (memory_walk.hpp).
  std::uint64_t workspace = 0;
  // Tensors of one micro-batch that wait on the stage's links: each activation received or sent,
  // each gradient sent or received, and data inputs as integers.
  std::uint64_t boundary = 0;
  // Gradients of parameters that other stages use too, at the end of the step when no activation is
  // left: 4 bytes per element for each use there (received), and once more for the sum of the first
  // two uses where both are here. What is sent is not copied.
  std::uint64_t exchange = 0;

  // Micro-batches at the schedule's worst moment: with their forward done or running, and their
  // weight gradients not done.
  std::uint32_t in_flight = 0;
  std::uint32_t awaiting_weights = 0;                  // of them, with their input gradients done
  std::uint64_t saved_per_micro_batch = 0;             // between forward and input gradients
  std::uint64_t kept_for_weights_per_micro_batch = 0;  // between input and weight gradients

  // What is there all the time, and the larger of what micro-batches and the exchange need.
  [[nodiscard]] std::uint64_t total() const;
};

struct MemoryOptions {
  proto::Precision precision = proto::Precision::kFp32;
};

// `shapes` as infer_shapes gives them for the plan's micro-batch. Sums saturate.
[[nodiscard]] MemoryEstimate estimate_memory(const proto::Graph& graph, const proto::Plan& plan,
                                             proto::StageIndex stage,
                                             std::span<const proto::Shape> shapes,
                                             const MemoryOptions& options);

// "812 B", "1.5 KiB", "3.2 GiB": one decimal from KiB on.
[[nodiscard]] std::string human_bytes(std::uint64_t bytes);

// "parameters 1.0 GiB, gradients 1.0 GiB, ...": every category.
[[nodiscard]] std::string describe(const MemoryEstimate& estimate);

}  // namespace longhaul::scheduler
