// Workers' events that the coordinator has not stored yet, oldest first, bounded.
#pragma once

#include "daemon/host/worker_id.hpp"
#include "proto/control.pb.h"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <set>

namespace longhaul::daemon {

// Numbers each event with the request that its Envelope carries and that WorkerEventStored repeats.
// When it is full, the oldest checkpoint report goes first (a later one supersedes it), then the
// oldest step report. What a worker says once (ready, linked, finished, failed) is never dropped:
// that is bounded by the number of workers.
class EventQueue {
 public:
  explicit EventQueue(std::size_t capacity = 65536) : capacity_(capacity) {}

  // Returns the event's number; numbers count from 1.
  std::uint64_t push(wire::WorkerEvent event);
  void acknowledge(std::uint64_t number);
  struct Item {
    std::uint64_t number = 0;
    wire::WorkerEvent event;
  };
  [[nodiscard]] const std::deque<Item>& items() const { return items_; }
  [[nodiscard]] std::set<WorkerId> workers() const;
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

 private:
  void make_room();

  std::size_t capacity_;
  std::uint64_t last_number_ = 0;
  std::uint64_t dropped_ = 0;
  std::deque<Item> items_;
};

}  // namespace longhaul::daemon
