// A map that is emptied when it has grown too large.
#include "scheduler/simulator/schedule_book.hpp"

namespace longhaul::scheduler {
namespace {

constexpr std::size_t kMostActions = 12'000'000;

}  // namespace

std::shared_ptr<const WholeSchedule> ScheduleBook::of(const ScheduleKey& key) {
  const auto found = made_.find(key);
  if (found != made_.end()) return found->second;
  auto whole = std::make_shared<WholeSchedule>();
  std::size_t actions = 0;
  for (std::uint32_t s = 0; s < key.stages; ++s) {
    whole->actions.push_back(proto::pipeline_schedule(key.kind, {.stage = proto::StageIndex{s},
                                                                 .stages = key.stages,
                                                                 .micro_batches = key.micro_batches,
                                                                 .run_ahead = key.run_ahead}));
    whole->in_flight.push_back(proto::peak_in_flight(whole->actions.back()));
    actions += whole->actions.back().size();
  }
  if (actions_ + actions > kMostActions) {
    made_.clear();
    actions_ = 0;
  }
  actions_ += actions;
  return made_.emplace(key, std::move(whole)).first->second;
}

}  // namespace longhaul::scheduler
