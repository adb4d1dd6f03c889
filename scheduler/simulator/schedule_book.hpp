// Schedules of whole pipelines, made once.
#pragma once

#include "proto/pipeline_schedule.hpp"

#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

namespace longhaul::scheduler {

struct ScheduleKey {
  proto::ScheduleKind kind{};
  std::uint32_t stages = 1;
  std::uint32_t micro_batches = 1;
  std::uint32_t run_ahead = 0;

  auto operator<=>(const ScheduleKey&) const = default;
};

// Of each stage.
struct WholeSchedule {
  std::vector<std::vector<proto::Action>> actions;
  std::vector<std::uint32_t> in_flight;  // micro-batches at most
};

// Remembers what proto::pipeline_schedule made, within a bound on memory (about 100 MB). Not for
// several threads at once.
class ScheduleBook {
 public:
  [[nodiscard]] std::shared_ptr<const WholeSchedule> of(const ScheduleKey& key);

 private:
  std::map<ScheduleKey, std::shared_ptr<const WholeSchedule>> made_;
  std::size_t actions_ = 0;
};

}  // namespace longhaul::scheduler
