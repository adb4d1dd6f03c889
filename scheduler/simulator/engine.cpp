// The event loop, and what stages do.
#include "scheduler/simulator/engine.hpp"

#include "proto/assert.hpp"

#include <algorithm>
#include <utility>

namespace longhaul::scheduler {

using proto::Action;
using proto::ActionKind;

Engine::Engine(const PipelineWork& work, const SimulationOptions& options)
    : work_(work), options_(options), transfers_(work.transfers.size()) {
  for (const HostWork& host : work.hosts) {
    resources_.emplace_back(host.processors, host.busy_speed);
  }
  for (const PathWork& path : work.paths) resources_.emplace_back(path.bytes_per_s);
  const auto count = static_cast<std::uint32_t>(work.stages.size());
  stages_.resize(count);
  for (std::uint32_t s = 0; s < count; ++s) {
    stages_[s].schedule =
        proto::pipeline_schedule(work.schedule, {.stage = proto::StageIndex{s},
                                                 .stages = count,
                                                 .micro_batches = work.micro_batches,
                                                 .run_ahead = work.run_ahead});
    stages_[s].bytes = work.stages[s].memory.resident;
  }
  for (std::size_t t = 0; t < work.transfers.size(); ++t) {
    const TransferWork& transfer = work.transfers[t];
    Stage& from = stages_[transfer.from];
    Stage& to = stages_[transfer.to];
    (transfer.backward ? from.backward_out : from.forward_out).push_back(t);
    (transfer.backward ? to.backward_in : to.forward_in).push_back(t);
  }
  for (std::size_t group = 0; group < work.tied.size(); ++group) {
    const TiedWork& tied = work.tied[group];
    for (const std::size_t from : tied.stages) {
      for (const std::size_t to : tied.stages) {
        if (from == to) continue;
        stages_[to].exchanges.push_back(exchanges_.size());
        exchanges_.push_back({.from = from, .to = to, .bytes = tied.bytes, .group = group});
      }
    }
    group_missing_.push_back(tied.stages.size());
  }
  unready_ = running_ = count;
  result_.stages.resize(count);
  result_.transfers.resize(work.transfers.size());
  for (std::size_t p = 0; p < work.paths.size(); ++p) {
    const auto& changes = work.paths[p].changes;
    for (std::size_t c = 0; c < changes.size(); ++c) {
      const double at_s = std::max(0.0, changes[c].at_s - options.start_s);
      add_event(at_s, {.kind = JobKind::kRate, .index = p, .message = c});
    }
  }
}

Simulation Engine::run() {
  for (std::size_t s = 0; s < stages_.size(); ++s) start_step(s);
  while (running_ > 0 && !events_.empty()) {
    const Event event = events_.top();
    events_.pop();
    now_s_ = std::max(now_s_, event.at_s);
    if (!event.resource) {
      on_done(event.job);
      continue;
    }
    Resource& resource = resources_[*event.resource];
    if (event.version != resource.version) continue;
    const auto next = resource.shared.next();
    LONGHAUL_ASSERT(next.has_value());
    resource.shared.finish({.job = next->job, .at_s = now_s_});
    reschedule(*event.resource);
    const Job job = jobs_[next->job];
    free_jobs_.push_back(next->job);
    on_done(job);
  }
  result_.stuck = running_ > 0;
  double before_s = 0.0;
  double after_s = 0.0;
  for (std::size_t s = 0; s < stages_.size(); ++s) {
    result_.stages[s] = stages_[s].outcome;
    before_s = std::max(before_s, stages_[s].outcome.start_s);
    after_s = std::max(after_s, stages_[s].outcome.end_s);
  }
  for (std::size_t t = 0; t < transfers_.size(); ++t) {
    result_.transfers[t] = transfers_[t].outcome;
  }
  result_.step_s = result_.stuck ? kUnlimited : after_s - before_s;
  return std::move(result_);
}

void Engine::add_event(double at_s, Job job) {
  events_.push({.at_s = at_s, .serial = serial_++, .resource = {}, .version = 0, .job = job});
}

std::uint64_t Engine::start_job(std::size_t resource, Job job, double work, double most) {
  std::uint64_t id = jobs_.size();
  if (free_jobs_.empty()) {
    jobs_.push_back(job);
  } else {
    id = free_jobs_.back();
    free_jobs_.pop_back();
    jobs_[id] = job;
  }
  resources_[resource].shared.start(id, work, now_s_, most);
  reschedule(resource);
  return id;
}

void Engine::reschedule(std::size_t resource) {
  Resource& changed = resources_[resource];
  ++changed.version;
  if (const auto next = changed.shared.next()) {
    events_.push({.at_s = next->at_s,
                  .serial = serial_++,
                  .resource = resource,
                  .version = changed.version,
                  .job = {}});
  }
}

std::size_t Engine::path_resource(std::size_t path) const { return work_.hosts.size() + path; }

void Engine::on_done(const Job& job) {
  switch (job.kind) {
    case JobKind::kDecode:
      stages_[job.index].outcome.decode_s += now_s_ - stages_[job.index].job_start_s;
      return compute(job.index);
    case JobKind::kAction:
      return end_action(job.index);
    case JobKind::kReduction:
      return finish_schedule(job.index);
    case JobKind::kAgreement: {
      const StageWork& work = work_.stages[job.index];
      start_job(work.host, {.kind = JobKind::kUpdate, .index = job.index, .message = 0},
                work.update_s * work.threads, work.threads);
      return;
    }
    case JobKind::kUpdate:
      return end_step(job.index);
    case JobKind::kEncode: {
      Transfer& transfer = transfers_[job.index];
      transfer.to_send.push_back(transfer.to_encode.front());
      transfer.to_encode.pop_front();
      Stage& stage = stages_[work_.transfers[job.index].from];
      stage.encoder.pop_front();
      send_next(job.index);
      if (!stage.encoder.empty()) encode_next(work_.transfers[job.index].from);
      return;
    }
    case JobKind::kWire:
      return sent(job.index, job.message);
    case JobKind::kCarry:
      return part_done(job.index, job.message);
    case JobKind::kArrival:
      return arrived(job.index, job.message);
    case JobKind::kTiedWire: {
      const Exchange& exchange = exchanges_[job.index];
      const std::size_t path = work_.between[exchange.from * stages_.size() + exchange.to];
      move(exchange.from, -1);
      move(exchange.to, -1);
      return add_event(now_s_ + work_.paths[path].delay_s,
                       {.kind = JobKind::kTiedArrival, .index = job.index, .message = 0});
    }
    case JobKind::kTiedArrival:
      --stages_[exchanges_[job.index].to].tied_missing;
      return check_ready(exchanges_[job.index].to);
    case JobKind::kRate: {
      const RateChange& change = work_.paths[job.index].changes[job.message];
      resources_[path_resource(job.index)].shared.set_factor(change.factor, now_s_);
      return reschedule(path_resource(job.index));
    }
  }
}

void Engine::start_step(std::size_t index) {
  Stage& stage = stages_[index];
  stage.next = 0;
  stage.finished = false;
  stage.ready_s = -1.0;
  stage.tied_missing = stage.exchanges.size();
  stage.idle_since_s = now_s_;
  stage.outcome = {.start_s = now_s_, .peak_bytes = stage.bytes};
  if (options_.timeline && last_step(stage)) use_memory(index, 0.0);
  proceed(index);
}

bool Engine::has_inputs(const Stage& stage, const Action& action) const {
  if (action.kind == ActionKind::kBackwardWeight) return true;
  const auto& in = action.kind == ActionKind::kForward ? stage.forward_in : stage.backward_in;
  const std::uint64_t message =
      std::uint64_t{stage.step} * work_.micro_batches + action.micro_batch.value;
  return std::ranges::all_of(in, [&](std::size_t t) { return transfers_[t].arrived > message; });
}

void Engine::proceed(std::size_t index) {
  Stage& stage = stages_[index];
  if (stage.busy || stage.finished) return;
  if (stage.next == stage.schedule.size()) {
    stage.busy = true;  // until the step's end
    const double reduction_s = work_.stages[index].reduction_s;
    if (reduction_s <= 0.0) return finish_schedule(index);
    return add_event(now_s_ + reduction_s,
                     {.kind = JobKind::kReduction, .index = index, .message = 0});
  }
  if (has_inputs(stage, stage.schedule[stage.next])) begin_action(index);
}

void Engine::begin_action(std::size_t index) {
  Stage& stage = stages_[index];
  stage.busy = true;
  stage.outcome.wait_s += now_s_ - stage.idle_since_s;
  const Action& action = stage.schedule[stage.next];
  double decode_s = 0.0;
  if (action.kind != ActionKind::kBackwardWeight) {
    const auto& in = action.kind == ActionKind::kForward ? stage.forward_in : stage.backward_in;
    for (const std::size_t t : in) decode_s += work_.transfers[t].decode_s;
  }
  stage.job_start_s = now_s_;
  if (decode_s <= 0.0) return compute(index);
  start_job(work_.stages[index].host, {.kind = JobKind::kDecode, .index = index, .message = 0},
            decode_s, 1.0);
}

double Engine::most_of(const Stage& stage, const StageWork& work) const {
  return stage.moving > 0 ? work.threads / work.overlap_slowdown : work.threads;
}

void Engine::compute(std::size_t index) {
  Stage& stage = stages_[index];
  const StageWork& work = work_.stages[index];
  const Action& action = stage.schedule[stage.next];
  const StageTime& time = work.time(action.micro_batch.value);
  stage.job_start_s = now_s_;
  double took_s = 0.0;
  switch (action.kind) {
    case ActionKind::kForward:
      took_s = time.forward_s;
      use_memory(index, work.memory.forward_peak);
      break;
    case ActionKind::kBackwardInput:
      took_s = time.input_gradient_s;
      use_memory(index, work.memory.backward_peak - work.memory.saved);
      break;
    case ActionKind::kBackwardWeight:
      took_s = time.weight_gradient_s;
      use_memory(index, work.memory.backward_peak - work.memory.held_for_weight);
      break;
  }
  stage.in_action = true;
  stage.action_job = start_job(work.host, {.kind = JobKind::kAction, .index = index, .message = 0},
                               took_s * work.threads, most_of(stage, work));
}

void Engine::end_action(std::size_t index) {
  Stage& stage = stages_[index];
  const StageMemory& memory = work_.stages[index].memory;
  const Action action = stage.schedule[stage.next++];
  stage.in_action = stage.busy = false;
  stage.idle_since_s = now_s_;
  stage.outcome.compute_s += now_s_ - stage.job_start_s;
  if (options_.timeline && last_step(stage)) {
    result_.actions.push_back({.stage = index,
                               .kind = action.kind,
                               .micro_batch = action.micro_batch.value,
                               .start_s = stage.job_start_s,
                               .end_s = now_s_});
  }
  const std::uint64_t message =
      std::uint64_t{stage.step} * work_.micro_batches + action.micro_batch.value;
  switch (action.kind) {
    case ActionKind::kForward:
      use_memory(index, memory.saved - memory.forward_peak);
      stage.outcome.in_flight = std::max(stage.outcome.in_flight, ++stage.in_flight);
      for (const std::size_t t : stage.forward_out) make(t, message);
      break;
    case ActionKind::kBackwardInput:
      use_memory(index, memory.held_for_weight - memory.backward_peak);
      for (const std::size_t t : stage.backward_out) make(t, message);
      break;
    case ActionKind::kBackwardWeight:
      use_memory(index, -memory.backward_peak);
      --stage.in_flight;
      break;
  }
  proceed(index);
}

void Engine::finish_schedule(std::size_t index) {
  Stage& stage = stages_[index];
  stage.finished = true;
  use_memory(index, work_.stages[index].memory.exchange);
  use_memory(index, -work_.stages[index].memory.exchange);
  for (std::size_t group = 0; group < work_.tied.size(); ++group) {
    if (std::ranges::find(work_.tied[group].stages, index) == work_.tied[group].stages.end()) {
      continue;
    }
    if (--group_missing_[group] == 0) exchange_tied(group);
  }
  check_ready(index);
}

void Engine::exchange_tied(std::size_t group) {
  for (std::size_t e = 0; e < exchanges_.size(); ++e) {
    const Exchange& exchange = exchanges_[e];
    if (exchange.group != group) continue;
    const std::size_t path = work_.between[exchange.from * stages_.size() + exchange.to];
    move(exchange.from, 1);
    move(exchange.to, 1);
    start_job(path_resource(path), {.kind = JobKind::kTiedWire, .index = e, .message = 0},
              exchange.bytes, kUnlimited);
  }
}

void Engine::check_ready(std::size_t index) {
  Stage& stage = stages_[index];
  if (!stage.finished || stage.tied_missing > 0 || stage.ready_s >= 0.0) return;
  stage.ready_s = now_s_;
  if (work_.between.empty()) {
    return add_event(now_s_, {.kind = JobKind::kAgreement, .index = index, .message = 0});
  }
  if (--unready_ == 0) agree();
}

void Engine::agree() {
  const std::size_t count = stages_.size();
  for (std::size_t to = 0; to < count; ++to) {
    double known_s = stages_[to].ready_s;
    for (std::size_t from = 0; from < count; ++from) {
      if (from == to) continue;
      const double delay_s = work_.paths[work_.between[from * count + to]].delay_s;
      known_s = std::max(known_s, stages_[from].ready_s + delay_s);
    }
    add_event(known_s, {.kind = JobKind::kAgreement, .index = to, .message = 0});
  }
  unready_ = count;
  for (std::size_t group = 0; group < work_.tied.size(); ++group) {
    group_missing_[group] = work_.tied[group].stages.size();
  }
}

void Engine::end_step(std::size_t index) {
  Stage& stage = stages_[index];
  stage.outcome.end_s = now_s_;
  stage.busy = false;
  if (last_step(stage)) {
    --running_;
    return;
  }
  ++stage.step;
  start_step(index);
}

void Engine::use_memory(std::size_t index, double change) {
  Stage& stage = stages_[index];
  stage.bytes += change;
  stage.outcome.peak_bytes = std::max(stage.outcome.peak_bytes, stage.bytes);
  if (options_.timeline && last_step(stage)) {
    result_.memory.push_back({.stage = index, .at_s = now_s_, .bytes = stage.bytes});
  }
}

}  // namespace longhaul::scheduler
