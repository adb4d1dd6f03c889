// Layouts of strategies on devices, and sums over them.
#include "scheduler/groups/group_costs.hpp"

#include "proto/assert.hpp"

#include <algorithm>
#include <numeric>

namespace longhaul::scheduler {
namespace {

// The rings of one dimension: devices at offset, offset + stride, ..., `length` of them.
std::vector<std::vector<std::size_t>> rings(const std::vector<std::size_t>& devices,
                                            std::size_t length, std::size_t stride) {
  std::vector<std::vector<std::size_t>> found;
  if (length < 2) return found;
  for (std::size_t first = 0; first < devices.size(); ++first) {
    if (first / stride % length != 0) continue;
    std::vector<std::size_t>& ring = found.emplace_back();
    for (std::size_t i = 0; i < length; ++i) ring.push_back(devices[first + i * stride]);
  }
  return found;
}

}  // namespace

GroupCosts::GroupCosts(const Fleet& fleet, const Workload& workload,
                       std::vector<std::size_t> devices)
    : fleet_(&fleet), workload_(&workload), devices_(std::move(devices)) {
  LONGHAUL_ASSERT(!devices_.empty());
  for (const std::size_t d : devices_) {
    const std::size_t kind = workload.kind_of(fleet.devices[d].kind).value();
    kinds_.push_back(kind);
    double sum_s = 0.0;
    for (const StageTime& time : workload.times[kind]) sum_s += time.sum();
    alone_s_.push_back(sum_s / fleet.devices[d].speed);
  }
  for (const WorkloadOperator& op : workload.operators) {
    double bytes = 0.0;
    for (const std::size_t input : op.inputs) bytes += workload.operators[input].output_bytes;
    input_bytes_.push_back(bytes);
  }
  strategies_ =
      group_strategies(static_cast<std::uint32_t>(devices_.size()), workload.micro_batch_size);
  for (const GroupStrategy& strategy : strategies_) layouts_.push_back(layout(strategy));
  group_ = ring_link(fleet, rings(devices_, devices_.size(), 1));
}

std::vector<double> GroupCosts::deal(const GroupStrategy& strategy) const {
  const std::size_t each = strategy.tensor * strategy.sequence;
  std::vector<double> sample_s;  // of each replica
  for (std::size_t r = 0; r < strategy.data; ++r) {
    const auto first = alone_s_.begin() + static_cast<std::ptrdiff_t>(r * each);
    sample_s.push_back(*std::max_element(first, first + static_cast<std::ptrdiff_t>(each)));
  }
  std::vector<std::uint32_t> samples(strategy.data);
  for (std::uint32_t i = 0; i < workload_->micro_batch_size; ++i) {
    std::size_t best = 0;
    for (std::size_t r = 1; r < strategy.data; ++r) {
      if ((samples[r] + 1) * sample_s[r] < (samples[best] + 1) * sample_s[best]) best = r;
    }
    ++samples[best];
  }
  std::vector<double> shares;
  for (const std::uint32_t count : samples) {
    shares.push_back(static_cast<double>(count) / workload_->micro_batch_size);
  }
  return shares;
}

GroupCosts::Layout GroupCosts::layout(const GroupStrategy& strategy) const {
  Layout made;
  made.samples = deal(strategy);
  const std::size_t each = strategy.tensor * strategy.sequence;
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    const double speed = fleet_->devices[devices_[i]].speed;
    const bool sharded = strategy.sharding != Sharding::kNothing;
    const Layout::Pace pace{.kind = kinds_[i],
                            .factor = made.samples[i / each] / (static_cast<double>(each) * speed),
                            .update_factor = workload_->update_scale[kinds_[i]] / speed /
                                             strategy.tensor /
                                             (sharded ? strategy.replicas() : 1.0)};
    made.slowdown = std::max(made.slowdown, workload_->overlap_slowdown[kinds_[i]]);
    const auto known = std::ranges::find_if(made.paces, [&](const Layout::Pace& other) {
      return other.kind == pace.kind && other.factor == pace.factor &&
             other.update_factor == pace.update_factor;
    });
    if (known == made.paces.end()) made.paces.push_back(pace);
  }
  made.tensor = ring_link(*fleet_, rings(devices_, strategy.tensor, 1));
  made.sequence = ring_link(*fleet_, rings(devices_, strategy.sequence, strategy.tensor));
  made.replicas = ring_link(*fleet_, rings(devices_, strategy.replicas(), strategy.tensor));
  return made;
}

void GroupCosts::add_replicas(std::size_t op, const GroupStrategy& degrees, const Layout& layout,
                              GroupOperatorCost& cost) const {
  if (degrees.replicas() == 1) return;
  const WorkloadOperator& described = workload_->operators[op];
  const double gradients = described.parameter_bytes / degrees.tensor;
  const double parameters = gradients * workload_->computed_share;
  RingLink ring = layout.replicas;
  if (described.exchange != Exchange::kMatrix) ring.step_s = 0.0;  // travels with a matrix
  if (degrees.sharding == Sharding::kNothing || degrees.sharding == Sharding::kOptimizer) {
    cost.reduction_s += ring.all_reduce_s(gradients);
    return;
  }
  if (degrees.sharding == Sharding::kParameters) {
    cost.time.forward_s += ring.all_gather_s(parameters);
    cost.time.input_gradient_s += ring.all_gather_s(parameters);
  } else {
    cost.reduction_s += ring.all_gather_s(parameters);
  }
  const double reduce_s = ring.all_gather_s(gradients);
  const double compute_s = cost.time.weight_gradient_s;
  cost.time.weight_gradient_s =
      std::max(compute_s, reduce_s) + (layout.slowdown - 1.0) * std::min(compute_s, reduce_s);
}

GroupOperatorCost GroupCosts::cost(std::size_t op, std::size_t strategy) const {
  const GroupStrategy& degrees = strategies_[strategy];
  const Layout& layout = layouts_[strategy];
  const WorkloadOperator& described = workload_->operators[op];
  GroupOperatorCost cost;
  double update_s = 0.0;
  for (const Layout::Pace& pace : layout.paces) {
    const StageTime& alone = workload_->times[pace.kind][op];
    cost.time.forward_s = std::max(cost.time.forward_s, alone.forward_s * pace.factor);
    cost.time.input_gradient_s =
        std::max(cost.time.input_gradient_s, alone.input_gradient_s * pace.factor);
    cost.time.weight_gradient_s =
        std::max(cost.time.weight_gradient_s, alone.weight_gradient_s * pace.factor);
    update_s = std::max(update_s, described.update_s * pace.update_factor);
  }
  const double largest = *std::ranges::max_element(layout.samples);
  double exchange_s = 0.0;  // one way
  if (described.exchange == Exchange::kMatrix && degrees.tensor > 1) {
    const double smaller = described.inputs.empty()
                               ? described.output_bytes
                               : std::min(input_bytes_[op], described.output_bytes);
    exchange_s = layout.tensor.all_gather_s(smaller * largest / degrees.sequence);
  }
  if (described.exchange == Exchange::kAttention && degrees.sequence > 1) {
    exchange_s += layout.sequence.all_to_all_s((input_bytes_[op] + described.output_bytes) *
                                               largest / degrees.tensor);
  }
  cost.time.forward_s += exchange_s;
  cost.time.input_gradient_s += exchange_s;
  if (described.parameter_bytes > 0.0) add_replicas(op, degrees, layout, cost);
  cost.reduction_s += update_s;
  if (degrees.checkpoint) cost.time.input_gradient_s += cost.time.forward_s;
  return cost;
}

double GroupCosts::change_s(std::size_t op) const {
  return 2.0 * group_.all_gather_s(input_bytes_[op]);
}

double GroupCosts::change_s(std::size_t op, std::size_t before, std::size_t after) const {
  const GroupStrategy& a = strategies_[before];
  const GroupStrategy& b = strategies_[after];
  const bool same = a.data == b.data && a.tensor == b.tensor && a.sequence == b.sequence;
  return same ? 0.0 : change_s(op);
}

MemoryShares GroupCosts::shares(std::size_t strategy, std::size_t i) const {
  const GroupStrategy& degrees = strategies_[strategy];
  const std::size_t each = degrees.tensor * degrees.sequence;
  const double tensor = 1.0 / degrees.tensor;
  const double sharded = tensor / degrees.replicas();
  const Sharding sharding = degrees.sharding;
  MemoryShares shares;
  shares.parameters = sharding == Sharding::kParameters ? sharded : tensor;
  shares.gradients =
      sharding == Sharding::kParameters || sharding == Sharding::kGradients ? sharded : tensor;
  shares.optimizer = sharding == Sharding::kNothing ? tensor : sharded;
  shares.values = layouts_[strategy].samples[i / each] / static_cast<double>(each);
  return shares;
}

std::size_t GroupCosts::index_of(const GroupStrategy& strategy) const {
  const auto found = std::ranges::find(strategies_, strategy);
  return static_cast<std::size_t>(found - strategies_.begin());
}

}  // namespace longhaul::scheduler
