// Draws fleets and workloads.
#include "tests/unit/scheduler/random_problems.hpp"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>

namespace longhaul::tests {
namespace {

using namespace scheduler;

class Draw {
 public:
  explicit Draw(std::uint64_t seed) : random_(seed * 7919 + 17) {}

  std::size_t upto(std::size_t low, std::size_t high) { return low + random_() % (high - low + 1); }
  double between(double low, double high) {
    return low + (high - low) * static_cast<double>(random_() >> 11U) / 9007199254740992.0;
  }
  // Evenly over orders of magnitude.
  double magnitude(double low, double high) {
    return std::exp(between(std::log(low), std::log(high)));
  }
  bool chance(double probability) { return between(0.0, 1.0) < probability; }

 private:
  std::mt19937_64 random_;
};

Fleet random_fleet(Draw& draw, double state_bytes) {
  Fleet fleet;
  const std::size_t devices = draw.upto(2, 5);
  const std::size_t sites = draw.upto(1, std::min<std::size_t>(3, devices));
  for (std::size_t s = 0; s < sites; ++s) {
    fleet.sites.push_back({.name = "site" + std::to_string(s),
                           .egress_price_per_byte = draw.chance(0.5) ? 1e-10 : 0.0});
  }
  const bool tight = draw.chance(0.35);
  for (std::size_t d = 0; d < devices; ++d) {
    const bool shares = d >= sites && draw.chance(0.3);
    if (!shares) {
      fleet.hosts.push_back({.name = "host" + std::to_string(d),
                             .site = d < sites ? d : draw.upto(0, sites - 1),
                             .processors = draw.chance(0.3) ? 2.0 : 64.0});
    }
    const bool cpu = draw.chance(0.5);
    fleet.devices.push_back(
        {.node = "node" + std::to_string(d),
         .device = cpu ? "cpu" : "cuda:" + std::to_string(d),
         .host = fleet.hosts.size() - 1,
         .kind = draw.chance(0.5) ? "fast" : "slow",
         .threads = cpu ? static_cast<std::uint32_t>(draw.upto(1, 2)) : 1,
         .speed = draw.chance(0.3) ? draw.between(0.3, 1.0) : 1.0,
         .memory_bytes = static_cast<std::uint64_t>(tight ? draw.between(0.4, 1.5) * state_bytes
                                                          : 100.0 * state_bytes),
         .price_per_hour = draw.between(0.5, 4.0),
         .has_data = d == 0 || draw.chance(0.6)});
  }
  fleet.within_host = {.delay_s = 1e-5, .bytes_per_s = 1e10, .per_message_s = 1e-5};
  for (std::size_t from = 0; from < sites; ++from) {
    for (std::size_t to = 0; to < sites; ++to) {
      fleet.between_sites.push_back(
          from == to ? FleetPath{.delay_s = 0.0005, .bytes_per_s = 1e9, .per_message_s = 1e-4}
                     : FleetPath{.delay_s = draw.magnitude(0.002, 0.1),
                                 .bytes_per_s = draw.magnitude(2e6, 3e8),
                                 .per_message_s = 2e-4});
    }
  }
  return fleet;
}

Workload random_workload(Draw& draw) {
  Workload workload;
  workload.name = "random";
  workload.tokens_per_micro_batch = 100.0;
  workload.kinds = {"fast", "slow"};
  workload.update_scale = {1.0, 2.5};
  workload.overlap_slowdown = {1.0, draw.chance(0.2) ? 1.1 : 1.0};
  workload.times.resize(2);
  const std::size_t operators = draw.upto(4, 12);
  const double slower = draw.between(1.2, 5.0);
  for (std::size_t i = 0; i < operators; ++i) {
    WorkloadOperator op;
    op.id = "op" + std::to_string(i);
    if (i > 0) op.inputs.push_back(i - 1);
    if (i > 2 && draw.chance(0.25)) op.inputs.push_back(draw.upto(0, i - 2));
    op.needs_data = i == 0 || (i + 1 == operators && draw.chance(0.5));
    const double forward_s = draw.magnitude(0.001, 0.03);
    const StageTime time{.forward_s = forward_s,
                         .input_gradient_s = forward_s * draw.between(0.7, 1.3),
                         .weight_gradient_s = forward_s * draw.between(0.0, 1.3)};
    op.flops = 1e12 * time.sum();
    op.state_bytes = draw.magnitude(1e6, 1e8);
    op.parameter_bytes = op.state_bytes / 4.0;
    op.saved_bytes = draw.magnitude(1e5, 1e7);
    op.workspace_bytes = draw.magnitude(1e5, 1e6);
    op.output_bytes = draw.magnitude(5e4, 4e6);
    op.update_s = 1e-11 * op.state_bytes;
    workload.operators.push_back(op);
    workload.times[0].push_back(time);
    const double own = slower * draw.between(0.8, 1.2);
    workload.times[1].push_back({.forward_s = own * time.forward_s,
                                 .input_gradient_s = own * time.input_gradient_s,
                                 .weight_gradient_s = own * time.weight_gradient_s});
  }
  if (draw.chance(0.3)) {
    workload.ties.push_back({.operators = {0, operators - 1}, .bytes = 1e6});
  }
  return workload;
}

// The same model with twice the samples: a little better than twice the time.
Workload doubled(const Workload& workload) {
  Workload twice = workload;
  twice.micro_batch_size *= 2;
  twice.tokens_per_micro_batch *= 2.0;
  for (WorkloadOperator& op : twice.operators) {
    op.flops *= 2.0;
    op.saved_bytes *= 2.0;
    op.workspace_bytes *= 2.0;
    op.output_bytes *= 2.0;
  }
  for (auto& times : twice.times) {
    for (StageTime& time : times) {
      time.forward_s *= 1.8;
      time.input_gradient_s *= 1.8;
      time.weight_gradient_s *= 1.8;
    }
  }
  return twice;
}

}  // namespace

PlanningProblem random_problem(std::uint64_t seed) {
  Draw draw(seed);
  PlanningProblem problem;
  problem.workloads.push_back(random_workload(draw));
  double state_bytes = 0.0;
  for (const WorkloadOperator& op : problem.workloads[0].operators) state_bytes += op.state_bytes;
  problem.fleet = random_fleet(draw, state_bytes);
  problem.batch = static_cast<std::uint32_t>(2 * draw.upto(2, 6));
  if (draw.chance(0.4)) problem.workloads.push_back(doubled(problem.workloads[0]));
  problem.schedules = {proto::ScheduleKind::kOneForwardOneBackward, proto::ScheduleKind::kGpipe};
  if (draw.chance(0.5)) problem.run_ahead = {0, 3};
  if (draw.chance(0.6)) {
    problem.codecs = {
        {.name = "dense"},
        {.name = "int8", .ratio = 0.26, .encode_s_per_byte = 2e-10, .decode_s_per_byte = 1e-10},
        {.name = "top", .ratio = 0.03, .encode_s_per_byte = 8e-10, .decode_s_per_byte = 4e-10}};
  }
  return problem;
}

PlanningProblem plain_problem(std::size_t operators, std::size_t devices, double operator_s,
                              double bytes) {
  PlanningProblem problem;
  problem.batch = 8;
  problem.schedules = {proto::ScheduleKind::kOneForwardOneBackward};
  Workload workload;
  workload.name = "plain";
  workload.tokens_per_micro_batch = 10.0;
  workload.kinds = {"k"};
  workload.update_scale = {1.0};
  workload.overlap_slowdown = {1.0};
  workload.times.resize(1);
  for (std::size_t i = 0; i < operators; ++i) {
    WorkloadOperator op;
    op.id = "op" + std::to_string(i);
    if (i > 0) op.inputs = {i - 1};
    op.flops = 1.0;
    op.state_bytes = 100.0;
    op.saved_bytes = 10.0;
    op.workspace_bytes = 5.0;
    op.output_bytes = bytes;
    workload.operators.push_back(op);
    workload.times[0].push_back({operator_s, operator_s, operator_s});
  }
  problem.workloads.push_back(workload);
  problem.fleet.sites = {{.name = "here"}};
  for (std::size_t d = 0; d < devices; ++d) {
    problem.fleet.hosts.push_back({.name = "host" + std::to_string(d)});
    problem.fleet.devices.push_back({.node = "node" + std::to_string(d),
                                     .device = "cpu",
                                     .host = d,
                                     .kind = "k",
                                     .memory_bytes = 1'000'000'000'000,
                                     .has_data = true});
  }
  problem.fleet.between_sites = {{}};
  return problem;
}

}  // namespace longhaul::tests
