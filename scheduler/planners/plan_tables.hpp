// A planning problem with the sums that its evaluation needs again and again.
#pragma once

#include "scheduler/planners/planning_problem.hpp"
#include "scheduler/simulator/schedule_book.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace longhaul::scheduler {

inline constexpr std::size_t kNowhere = std::numeric_limits<std::size_t>::max();

// Sums over operators [0, i) at [i], so that a range's is a difference.
class WorkloadTables {
 public:
  WorkloadTables(const Workload& workload, const Fleet& fleet);

  [[nodiscard]] const Workload& workload() const { return *workload_; }
  [[nodiscard]] std::size_t operators() const { return workload_->operators.size(); }

  // Of operators [first, end) on a device of the fleet, which must have a kind of the workload.
  [[nodiscard]] StageTime time(std::size_t device, std::size_t first, std::size_t end) const;
  [[nodiscard]] double update_s(std::size_t device, std::size_t first, std::size_t end) const;
  [[nodiscard]] double reduction_s(std::size_t device, std::size_t first, std::size_t end) const;
  // Sums of a micro-batch's times on a device, [operators + 1], to be divided by its speed.
  [[nodiscard]] std::span<const double> total_s(std::size_t device) const;
  [[nodiscard]] bool has_kind(std::size_t device) const { return kinds_[device] != kNowhere; }
  [[nodiscard]] double overlap_slowdown(std::size_t device) const {
    return workload_->overlap_slowdown[kinds_[device]];
  }

  [[nodiscard]] double state_bytes(std::size_t first, std::size_t end) const;  // ties counted once
  [[nodiscard]] double saved_bytes(std::size_t first, std::size_t end) const;
  [[nodiscard]] double workspace_bytes(std::size_t first, std::size_t end) const;  // the largest
  [[nodiscard]] double flops() const { return flops_; }
  [[nodiscard]] std::span<const double> cut_bytes() const { return cuts_; }

  [[nodiscard]] bool needs_data(std::size_t first, std::size_t end) const {
    return data_[end] > data_[first];
  }
  // Of an operator: who reads it, ascending.
  [[nodiscard]] std::span<const std::uint32_t> readers(std::size_t op) const {
    return {readers_.data() + reader_starts_[op], readers_.data() + reader_starts_[op + 1]};
  }

 private:
  void sum_operators();
  void list_readers();

  const Workload* workload_;
  std::vector<std::size_t> kinds_;  // of each device
  std::vector<double> speeds_;      // of each device
  std::vector<std::vector<StageTime>> times_;
  std::vector<std::vector<double>> totals_;
  std::vector<std::vector<double>> reductions_;  // as the workload's, or empty
  std::vector<double> state_, saved_, update_;
  std::vector<std::vector<double>> workspace_;  // [k][i]: the largest of 2^k operators from i
  std::vector<double> cuts_;
  std::vector<std::uint32_t> data_;
  std::vector<std::size_t> reader_starts_;
  std::vector<std::uint32_t> readers_;
  double flops_ = 0.0;
};

class PlanTables {
 public:
  // Requires check_problem to pass.
  explicit PlanTables(const PlanningProblem& problem);

  [[nodiscard]] const PlanningProblem& problem() const { return *problem_; }
  [[nodiscard]] const WorkloadTables& workload(std::size_t index) const {
    return workloads_[index];
  }
  [[nodiscard]] std::size_t operators() const { return workloads_.front().operators(); }
  // Devices of nodes that are not excluded, ascending.
  [[nodiscard]] const std::vector<std::size_t>& devices() const { return devices_; }

  struct Pin {
    std::size_t op = 0;
    std::string node;
  };
  [[nodiscard]] const std::vector<Pin>& pins() const { return pins_; }  // ascending
  // Whether a stage of operators [first, end) on the device breaks no pin.
  [[nodiscard]] bool pins_hold(std::size_t device, std::size_t first, std::size_t end) const;

  // The schedule of a placement with so many stages.
  [[nodiscard]] ScheduleKey schedule_key(const PlacedPipeline& placed, std::size_t stages) const;
  [[nodiscard]] ScheduleBook& book() const { return book_; }

 private:
  const PlanningProblem* problem_;
  std::vector<WorkloadTables> workloads_;
  std::vector<std::size_t> devices_;
  std::vector<Pin> pins_;
  mutable ScheduleBook book_;
};

// kConfiguration: a fleet or a workload that is wrong in itself, workloads of different models,
// micro-batches that do not divide the batch, no schedule, codecs whose numbers make no sense, a
// device whose kind has no times, and pins, exclusions or numbers of devices that contradict the
// fleet or each other.
[[nodiscard]] proto::Result<void> check_problem(const PlanningProblem& problem);

}  // namespace longhaul::scheduler
