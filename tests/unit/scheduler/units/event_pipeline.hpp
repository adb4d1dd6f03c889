// A pipeline played event by event, with a queue of what ends next: the other way to the numbers of
// scheduler/pipeline_time.hpp.
#pragma once

#include "scheduler/pipeline_time.hpp"

#include <cstdint>

namespace longhaul::scheduler {

// The step's seconds under 1F1B, as PipelineClock::total_s.
[[nodiscard]] double play_pipeline(std::uint32_t stages, std::uint32_t micro_batches,
                                   const PipelineDurations& durations, std::uint32_t run_ahead = 0);

}  // namespace longhaul::scheduler
