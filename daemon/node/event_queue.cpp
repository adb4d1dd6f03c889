// A deque with numbers; see event_queue.hpp for what makes room.
#include "daemon/node/event_queue.hpp"

#include <algorithm>
#include <utility>

namespace longhaul::daemon {

std::uint64_t EventQueue::push(wire::WorkerEvent event) {
  if (items_.size() >= capacity_) make_room();
  items_.push_back({++last_number_, std::move(event)});
  return last_number_;
}

void EventQueue::acknowledge(std::uint64_t number) {
  const auto found = std::ranges::lower_bound(items_, number, {}, &Item::number);
  if (found != items_.end() && found->number == number) items_.erase(found);
}

void EventQueue::make_room() {
  auto oldest = std::ranges::find_if(
      items_, [](const Item& item) { return item.event.has_checkpoint(); });
  if (oldest == items_.end()) {
    oldest = std::ranges::find_if(items_, [](const Item& item) { return item.event.has_step(); });
  }
  if (oldest == items_.end()) return;
  items_.erase(oldest);
  ++dropped_;
}

std::set<WorkerId> EventQueue::workers() const {
  std::set<WorkerId> workers;
  for (const auto& item : items_) workers.insert(worker_id(item.event));
  return workers;
}

}  // namespace longhaul::daemon
