// Stages advance until they wait; a message wakes who waits for it.
#include "scheduler/simulator/uncontended_step.hpp"

#include "proto/assert.hpp"

#include <algorithm>
#include <cmath>

namespace longhaul::scheduler {
namespace {

double wire_s(const PathWork& path, double bytes) {
  return std::isfinite(path.bytes_per_s) ? path.per_message_s + bytes / path.bytes_per_s : 0.0;
}

}  // namespace

void UncontendedStep::prepare(const PipelineWork& work) {
  stages_.assign(work.stages.size(), {});
  wires_.assign(work.transfers.size(), {});
  arrivals_.resize(work.transfers.size() * work.micro_batches);
  const auto in_list = [](const TransferWork& t) { return 4 * t.to + (t.backward ? 1 : 0); };
  const auto out_list = [](const TransferWork& t) { return 4 * t.from + (t.backward ? 3 : 2); };
  list_starts_.assign(4 * work.stages.size() + 1, 0);
  for (const TransferWork& t : work.transfers) {
    ++list_starts_[in_list(t)];
    ++list_starts_[out_list(t)];
  }
  std::size_t sum = 0;
  for (std::size_t& start : list_starts_) start = sum += start;  // the ends of the lists
  transfer_list_.resize(sum);
  for (std::size_t i = work.transfers.size(); i-- > 0;) {  // which become their starts
    const TransferWork& t = work.transfers[i];
    transfer_list_[--list_starts_[in_list(t)]] = i;
    transfer_list_[--list_starts_[out_list(t)]] = i;
    wires_[i].wire_s = t.bytes.size() == 1 ? wire_s(work.paths[t.path], t.bytes[0]) : -1.0;
    Progress& to = stages_[t.to];
    (t.backward ? to.decode_backward_s : to.decode_forward_s) += t.decode_s;
  }
}

void UncontendedStep::send(const PipelineWork& work, std::size_t transfer,
                           std::uint32_t micro_batch, double made_s) {
  const TransferWork& t = work.transfers[transfer];
  const PathWork& path = work.paths[t.path];
  Wire& wire = wires_[transfer];
  if (t.encode_s > 0.0) {
    double& free_s = stages_[t.from].encoder_free_s;
    free_s = made_s = std::max(made_s, free_s) + t.encode_s;
  }
  const double takes_s = wire.wire_s >= 0.0 ? wire.wire_s : wire_s(path, t.bytes_of(micro_batch));
  wire.free_s = std::max(made_s, wire.free_s) + takes_s;
  arrivals_[transfer * work.micro_batches + micro_batch] = wire.free_s + path.delay_s;
  wire.arrived = micro_batch + 1;
  if (!stages_[t.to].queued) {
    stages_[t.to].queued = true;
    waiting_.push_back(t.to);
  }
}

void UncontendedStep::advance(const PipelineWork& work, std::size_t index,
                              const std::vector<proto::Action>& actions) {
  Progress& stage = stages_[index];
  const std::size_t* starts = &list_starts_[4 * index];
  for (; stage.next < actions.size(); ++stage.next) {
    const proto::Action action = actions[stage.next];
    const std::uint32_t m = action.micro_batch.value;
    const StageTime& time = work.stages[index].time(m);
    if (action.kind == proto::ActionKind::kBackwardWeight) {
      stage.free_s += time.weight_gradient_s;
      continue;
    }
    const bool forward = action.kind == proto::ActionKind::kForward;
    double start_s = stage.free_s;
    const std::size_t in = forward ? 0 : 1;
    for (std::size_t i = starts[in]; i < starts[in + 1]; ++i) {
      const std::size_t t = transfer_list_[i];
      if (wires_[t].arrived <= m) return;
      start_s = std::max(start_s, arrivals_[t * work.micro_batches + m]);
    }
    stage.free_s = start_s + (forward ? stage.decode_forward_s + time.forward_s
                                      : stage.decode_backward_s + time.input_gradient_s);
    for (std::size_t i = starts[in + 2]; i < starts[in + 3]; ++i) {
      send(work, transfer_list_[i], m, stage.free_s);
    }
  }
}

double UncontendedStep::end_of_step(const PipelineWork& work) const {
  const std::size_t count = work.stages.size();
  std::vector<double> finished_s(count);
  for (std::size_t s = 0; s < count; ++s) {
    finished_s[s] = stages_[s].free_s + work.stages[s].reduction_s;
  }
  std::vector<double> ready_s = finished_s;
  for (const TiedWork& tied : work.tied) {
    double all_s = 0.0;
    for (const std::size_t s : tied.stages) all_s = std::max(all_s, finished_s[s]);
    for (const std::size_t to : tied.stages) {
      for (const std::size_t from : tied.stages) {
        if (from == to) continue;
        const PathWork& path = work.paths[work.between[from * count + to]];
        ready_s[to] = std::max(ready_s[to], all_s + tied.bytes / path.bytes_per_s + path.delay_s);
      }
    }
  }
  double end_s = 0.0;
  for (std::size_t to = 0; to < count; ++to) {
    double known_s = ready_s[to];
    for (std::size_t from = 0; from < count && !work.between.empty(); ++from) {
      if (from == to) continue;
      known_s =
          std::max(known_s, ready_s[from] + work.paths[work.between[from * count + to]].delay_s);
    }
    end_s = std::max(end_s, known_s + work.stages[to].update_s);
  }
  return end_s;
}

double UncontendedStep::busiest_share_s(const PipelineWork& work, bool& exact) {
  exact = true;
  path_load_s_.assign(work.paths.size(), 0.0);
  path_users_.assign(work.paths.size(), 0);
  host_load_s_.assign(work.hosts.size(), 0.0);
  host_demand_.assign(work.hosts.size(), 0.0);
  const double messages = work.micro_batches;
  for (const TransferWork& t : work.transfers) {
    const PathWork& path = work.paths[t.path];
    if (work.stages[t.from].overlap_slowdown > 1.0 || work.stages[t.to].overlap_slowdown > 1.0) {
      exact = false;
    }
    ++path_users_[t.path];
    for (const double bytes : t.bytes) {
      path_load_s_[t.path] += messages / static_cast<double>(t.bytes.size()) * wire_s(path, bytes);
    }
    host_load_s_[work.stages[t.from].host] += messages * t.encode_s;
    host_load_s_[work.stages[t.to].host] += messages * t.decode_s;
    if (t.encode_s > 0.0) host_demand_[work.stages[t.from].host] += 1.0;
  }
  for (const TiedWork& tied : work.tied) {
    for (const std::size_t from : tied.stages) {
      for (const std::size_t to : tied.stages) {
        // After all messages of these stages, but perhaps among others'.
        if (from != to && work.stages.size() > 2) {
          ++path_users_[work.between[from * work.stages.size() + to]];
        }
      }
    }
  }
  for (const StageWork& stage : work.stages) {
    double sum_s = 0.0;
    for (const StageTime& time : stage.times) sum_s += time.sum();
    host_load_s_[stage.host] +=
        stage.threads * messages / static_cast<double>(stage.times.size()) * sum_s;
    host_demand_[stage.host] += stage.threads;
  }
  double busiest_s = 0.0;
  for (std::size_t p = 0; p < work.paths.size(); ++p) {
    busiest_s = std::max(busiest_s, path_load_s_[p]);
    if (!work.paths[p].changes.empty()) exact = false;
    if (path_users_[p] > 1 && std::isfinite(work.paths[p].bytes_per_s)) exact = false;
  }
  for (std::size_t h = 0; h < work.hosts.size(); ++h) {
    busiest_s = std::max(busiest_s, host_load_s_[h] / work.hosts[h].processors);
    const HostWork& host = work.hosts[h];
    const bool slowed = !host.busy_speed.empty() && host_demand_[h] > 1.0;
    if (host_demand_[h] > host.processors || slowed || host.carry_s_per_byte > 0.0) exact = false;
  }
  return busiest_s;
}

UncontendedTime UncontendedStep::time(const PipelineWork& work) {
  const auto whole = book_->of({.kind = work.schedule,
                                .stages = static_cast<std::uint32_t>(work.stages.size()),
                                .micro_batches = work.micro_batches,
                                .run_ahead = work.run_ahead});
  prepare(work);
  waiting_.clear();
  for (std::size_t s = work.stages.size(); s-- > 0;) {
    waiting_.push_back(s);
    stages_[s].queued = true;
  }
  while (!waiting_.empty()) {
    const std::size_t s = waiting_.back();
    waiting_.pop_back();
    stages_[s].queued = false;
    advance(work, s, whole->actions[s]);
  }
  for (std::size_t s = 0; s < work.stages.size(); ++s) {
    LONGHAUL_ASSERT(stages_[s].next == whole->actions[s].size());
  }
  bool exact = false;
  const double busiest_s = busiest_share_s(work, exact);
  return {.step_s = std::max(busiest_s, end_of_step(work)), .exact = exact};
}

}  // namespace longhaul::scheduler
