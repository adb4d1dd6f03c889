// What happens to a message on its way: encoder, path, arrival.
#include "scheduler/simulator/engine.hpp"

#include "proto/assert.hpp"

#include <algorithm>
#include <cmath>

namespace longhaul::scheduler {

void Engine::make(std::size_t index, std::uint64_t message) {
  Transfer& transfer = transfers_[index];
  const TransferWork& work = work_.transfers[index];
  const Waiting waiting{.message = message, .made_s = now_s_};
  if (work.encode_s <= 0.0) {
    transfer.to_send.push_back(waiting);
    return send_next(index);
  }
  transfer.to_encode.push_back(waiting);
  Stage& from = stages_[work.from];
  from.encoder.push_back(index);
  if (from.encoder.size() == 1) encode_next(work.from);
}

void Engine::encode_next(std::size_t stage) {
  const std::size_t index = stages_[stage].encoder.front();
  start_job(work_.stages[stage].host, {.kind = JobKind::kEncode, .index = index, .message = 0},
            work_.transfers[index].encode_s, 1.0);
}

void Engine::send_next(std::size_t index) {
  Transfer& transfer = transfers_[index];
  if (transfer.sending || transfer.to_send.empty()) return;
  const TransferWork& work = work_.transfers[index];
  const PathWork& path = work_.paths[work.path];
  const std::uint64_t message = transfer.to_send.front().message;
  transfer.sending = true;
  transfer.start_s = now_s_;
  if (kept(message)) transfer.outcome.queue_s += now_s_ - transfer.to_send.front().made_s;
  move(work.from, 1);
  move(work.to, 1);
  const double overhead =
      std::isfinite(path.bytes_per_s) ? path.per_message_s * path.bytes_per_s : 0.0;
  const double bytes = work.bytes_of(message % work_.micro_batches);
  transfer.flights.push_back({.message = message,
                              .missing = 1,
                              .made_s = transfer.to_send.front().made_s,
                              .start_s = now_s_});
  carry(index, transfer.flights.back(), bytes);
  start_job(path_resource(work.path), {.kind = JobKind::kWire, .index = index, .message = message},
            bytes + overhead, kUnlimited);
}

// Both ends' processors take their part while the message is under way.
void Engine::carry(std::size_t index, Flight& flight, double bytes) {
  const TransferWork& work = work_.transfers[index];
  for (const std::size_t end : {work.from, work.to}) {
    const std::size_t host = work_.stages[end].host;
    const double cost_s = work_.hosts[host].carry_s_per_byte * bytes;
    if (cost_s <= 0.0) continue;
    ++flight.missing;
    start_job(host, {.kind = JobKind::kCarry, .index = index, .message = flight.message}, cost_s,
              1.0);
  }
}

void Engine::sent(std::size_t index, std::uint64_t message) {
  Transfer& transfer = transfers_[index];
  const TransferWork& work = work_.transfers[index];
  if (kept(message)) transfer.outcome.wire_s += now_s_ - transfer.start_s;
  transfer.to_send.pop_front();
  transfer.sending = false;
  move(work.from, -1);
  move(work.to, -1);
  part_done(index, message);
  send_next(index);
}

void Engine::part_done(std::size_t index, std::uint64_t message) {
  Transfer& transfer = transfers_[index];
  const auto flight = std::ranges::find(transfer.flights, message, &Flight::message);
  LONGHAUL_ASSERT(flight != transfer.flights.end());
  --flight->missing;
  const double arrives_s = now_s_ + work_.paths[work_.transfers[index].path].delay_s;
  // In order: one that is done waits for those before it.
  while (!transfer.flights.empty() && transfer.flights.front().missing == 0) {
    const Flight done = transfer.flights.front();
    transfer.flights.pop_front();
    add_event(arrives_s, {.kind = JobKind::kArrival, .index = index, .message = done.message});
    if (!options_.timeline || !kept(done.message)) continue;
    result_.messages.push_back(
        {.transfer = index,
         .micro_batch = static_cast<std::uint32_t>(done.message % work_.micro_batches),
         .made_s = done.made_s,
         .start_s = done.start_s,
         .arrived_s = arrives_s});
  }
}

void Engine::arrived(std::size_t index, std::uint64_t message) {
  LONGHAUL_ASSERT(transfers_[index].arrived == message);
  ++transfers_[index].arrived;
  const std::size_t to = work_.transfers[index].to;
  Stage& stage = stages_[to];
  if (stage.busy || stage.finished || stage.next == stage.schedule.size()) return;
  const double idle_s = now_s_ - stage.idle_since_s;
  proceed(to);
  // It was the last thing that the stage waited for.
  if (stage.busy && kept(message)) transfers_[index].outcome.late_s += idle_s;
}

// A stage that sends or receives computes more slowly.
void Engine::move(std::size_t index, int change) {
  Stage& stage = stages_[index];
  const StageWork& work = work_.stages[index];
  const bool before = stage.moving > 0;
  stage.moving += static_cast<std::size_t>(change);
  if (work.overlap_slowdown <= 1.0 || !stage.in_action || before == (stage.moving > 0)) return;
  resources_[work.host].shared.set_most(stage.action_job, most_of(stage, work), now_s_);
  reschedule(work.host);
}

}  // namespace longhaul::scheduler
