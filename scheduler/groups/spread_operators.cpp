// The dynamic program, and shares of memory.
#include "scheduler/groups/spread_operators.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace longhaul::scheduler {
namespace {

constexpr double kNever = std::numeric_limits<double>::infinity();

double other_state(const WorkloadOperator& op) {
  return std::max(0.0, op.state_bytes - 3.0 * op.parameter_bytes);
}

// Of the group's fullest device, for one strategy.
struct Fullest {
  MemoryShares state;
  double values = 0.0;
};

Fullest fullest(const GroupCosts& costs, std::size_t strategy) {
  Fullest most{.state = costs.shares(strategy, 0), .values = 0.0};
  for (std::size_t i = 0; i < costs.devices().size(); ++i) {
    most.values = std::max(most.values, costs.shares(strategy, i).values);
  }
  return most;
}

class Program {
 public:
  Program(const GroupCosts& costs, const SpreadOptions& options)
      : costs_(costs),
        options_(options),
        cuts_(costs.workload().cut_bytes()),
        count_(costs.strategies().size()) {
    std::vector<GroupStrategy> degrees;
    for (const GroupStrategy& strategy : costs.strategies()) {
      fullest_.push_back(fullest(costs, degrees_.size()));
      const auto same = std::ranges::find_if(degrees, [&](const GroupStrategy& known) {
        return known.data == strategy.data && known.tensor == strategy.tensor &&
               known.sequence == strategy.sequence;
      });
      degrees_.push_back(static_cast<std::size_t>(same - degrees.begin()));
      if (same == degrees.end()) degrees.push_back(strategy);
    }
    kinds_ = degrees.size();
  }

  std::vector<std::size_t> run() {
    const std::size_t operators = costs_.workload().operators.size();
    std::vector<double> value(count_, 0.0);
    from_.assign(operators * count_, 0);
    for (std::size_t op = 0; op < operators; ++op) {
      value = op == 0 ? first() : next(op, value);
      for (std::size_t k = 0; k < count_; ++k) value[k] += own(op, k);
    }
    std::vector<std::size_t> chosen(operators);
    auto k = static_cast<std::size_t>(std::ranges::min_element(value) - value.begin());
    for (std::size_t op = operators; op-- > 0;) {
      chosen[op] = k;
      k = from_[op * count_ + k];
    }
    return chosen;
  }

 private:
  [[nodiscard]] double own(std::size_t op, std::size_t k) const {
    const GroupOperatorCost cost = costs_.cost(op, k);
    const WorkloadOperator& described = costs_.workload().operators[op];
    const MemoryShares& state = fullest_[k].state;
    double bytes = other_state(described) * state.parameters +
                   described.parameter_bytes * (state.gradients + 2.0 * state.optimizer);
    if (!costs_.strategies()[k].checkpoint) {
      bytes += options_.in_flight * described.saved_bytes * fullest_[k].values;
    }
    return options_.micro_batches * cost.time.sum() + cost.reduction_s +
           options_.price_s_per_byte * bytes;
  }

  // A run that keeps its inputs only begins here.
  [[nodiscard]] double entry(std::size_t op, std::size_t k) const {
    if (!costs_.strategies()[k].checkpoint) return 0.0;
    return options_.price_s_per_byte * options_.in_flight * cuts_[op] * fullest_[k].values;
  }

  [[nodiscard]] std::vector<double> first() const {
    std::vector<double> value(count_);
    for (std::size_t k = 0; k < count_; ++k) value[k] = entry(0, k);
    return value;
  }

  std::vector<double> next(std::size_t op, const std::vector<double>& value) {
    std::vector<std::size_t> best_of(kinds_, count_);  // by degrees
    std::size_t best = 0;
    for (std::size_t k = 0; k < count_; ++k) {
      std::size_t& kind_best = best_of[degrees_[k]];
      if (kind_best == count_ || value[k] < value[kind_best]) kind_best = k;
      if (value[k] < value[best]) best = k;
    }
    const double change = options_.micro_batches * costs_.change_s(op);
    std::vector<double> made(count_, kNever);
    for (std::size_t k = 0; k < count_; ++k) {
      const auto take = [&](std::size_t before, double cost) {
        if (value[before] + cost >= made[k]) return;
        made[k] = value[before] + cost;
        from_[op * count_ + k] = before;
      };
      take(k, 0.0);
      const double begins = entry(op, k);
      take(best_of[degrees_[k]], begins);
      take(best, begins + change);
    }
    return made;
  }

  const GroupCosts& costs_;
  SpreadOptions options_;
  std::vector<double> cuts_;
  std::size_t count_;
  std::size_t kinds_ = 0;
  std::vector<std::size_t> degrees_;  // of each strategy, a number that its degrees share
  std::vector<Fullest> fullest_;
  std::vector<std::size_t> from_;  // [operator, strategy]: the strategy before
};

}  // namespace

std::vector<std::size_t> spread_operators(const GroupCosts& costs, const SpreadOptions& options) {
  return Program(costs, options).run();
}

MemoryEstimate spread_memory(const GroupCosts& costs, const std::vector<std::size_t>& chosen,
                             std::size_t first, std::size_t end, const MemoryEstimate& whole,
                             std::size_t device) {
  const auto& operators = costs.workload().operators;
  const std::vector<double> cuts = costs.workload().cut_bytes();
  double parameters = 0.0, saved = 0.0;
  double kept_parameters = 0.0, gradients = 0.0, optimizer = 0.0, kept = 0.0;
  double values = 0.0;      // the largest share of any operator
  double gathered = 0.0;    // workspace
  double run_saved = 0.0;   // of the checkpointed run so far
  double recomputed = 0.0;  // the most of any run
  for (std::size_t op = first; op < end; ++op) {
    const GroupStrategy& strategy = costs.strategies()[chosen[op]];
    const MemoryShares shares = costs.shares(chosen[op], device);
    const double bytes = operators[op].parameter_bytes;
    parameters += bytes;
    saved += operators[op].saved_bytes;
    kept_parameters += bytes * shares.parameters;
    gradients += bytes * shares.gradients;
    optimizer += bytes * shares.optimizer;
    values = std::max(values, shares.values);
    if (strategy.sharding == Sharding::kParameters) {
      const double here = bytes / strategy.tensor;
      gathered = std::max(gathered, here * (1.0 + costs.workload().computed_share));
    }
    const double own = operators[op].saved_bytes * shares.values;
    const bool begins = op == first || chosen[op] != chosen[op - 1];
    if (strategy.checkpoint) {
      run_saved = begins ? own : run_saved + own;
      recomputed = std::max(recomputed, run_saved);
      if (begins) kept += cuts[op] * shares.values;
    } else {
      kept += own;
    }
  }
  const auto part = [](std::uint64_t bytes, double share) {
    return static_cast<std::uint64_t>(std::ceil(static_cast<double>(bytes) * share));
  };
  const auto share = [](double some, double all) { return all > 0.0 ? some / all : 1.0; };
  MemoryEstimate made = whole;
  made.parameters = part(whole.parameters, share(kept_parameters, parameters));
  made.gradients = part(whole.gradients, share(gradients, parameters));
  made.optimizer = part(whole.optimizer, share(optimizer, parameters));
  made.exchange = part(whole.exchange, share(gradients, parameters));
  made.activations = part(whole.activations, std::min(1.0, share(kept, saved)));
  made.workspace =
      part(whole.workspace, values) + static_cast<std::uint64_t>(std::ceil(gathered + recomputed));
  made.boundary = part(whole.boundary, values);
  made.saved_per_micro_batch = part(whole.saved_per_micro_batch, std::min(1.0, share(kept, saved)));
  return made;
}

}  // namespace longhaul::scheduler
