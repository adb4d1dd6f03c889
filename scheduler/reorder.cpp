// Longest processing time first across replicas; best fit into idle intervals inside a pipeline.
#include "scheduler/reorder.hpp"

#include "proto/assert.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <queue>
#include <utility>

namespace longhaul::scheduler {
namespace {

using proto::Action;
using proto::ActionKind;
using proto::ScheduleKind;

std::vector<std::uint32_t> ascending_indices(std::size_t count) {
  std::vector<std::uint32_t> indices(count);
  std::iota(indices.begin(), indices.end(), 0U);
  return indices;
}

// Two samples that change place, and the larger of their replicas' loads after it.
struct Exchange {
  std::size_t other = 0;  // replica
  std::size_t mine = 0;   // place in the most loaded replica's samples
  std::size_t theirs = 0;
  double largest = 0;
};

class Balance {
 public:
  Balance(std::span<const double> costs, std::uint32_t replicas)
      : costs_(costs), shares_(replicas), loads_(replicas) {}

  void longest_first(ReplicaCounts counts) {
    std::vector<std::uint32_t> order = ascending_indices(costs_.size());
    std::stable_sort(order.begin(), order.end(),
                     [&](std::uint32_t a, std::uint32_t b) { return costs_[a] > costs_[b]; });
    using Entry = std::pair<double, std::size_t>;  // load, replica
    std::priority_queue<Entry, std::vector<Entry>, std::greater<>> least_loaded;
    for (std::size_t r = 0; r < shares_.size(); ++r) least_loaded.emplace(0.0, r);
    const std::size_t room = costs_.size() / shares_.size();
    std::size_t with_one_more = costs_.size() % shares_.size();
    const auto is_full = [&](std::size_t r) {
      if (counts == ReplicaCounts::kAny) return false;
      return shares_[r].size() > room || (shares_[r].size() == room && with_one_more == 0);
    };
    for (const std::uint32_t sample : order) {
      while (is_full(least_loaded.top().second)) least_loaded.pop();
      const std::size_t r = least_loaded.top().second;
      least_loaded.pop();
      shares_[r].push_back(sample);
      loads_[r] += costs_[sample];
      if (counts == ReplicaCounts::kEqual && shares_[r].size() == room + 1) --with_one_more;
      least_loaded.emplace(loads_[r], r);
    }
  }

  void exchange() {
    for (std::size_t turn = 0; turn < costs_.size(); ++turn) {
      const auto most =
          static_cast<std::size_t>(std::max_element(loads_.begin(), loads_.end()) - loads_.begin());
      Exchange best{.largest = loads_[most]};
      for (std::size_t r = 0; r < shares_.size(); ++r) {
        if (r != most) look_for(most, r, best);
      }
      if (!(best.largest < loads_[most])) return;
      std::swap(shares_[most][best.mine], shares_[best.other][best.theirs]);
      for (const std::size_t r : {most, best.other}) sort(r);
    }
  }

  ReplicaShares result() && {
    return {std::move(shares_), *std::max_element(loads_.begin(), loads_.end())};
  }

 private:
  // For each of the most loaded one's samples, the partner that levels both best: shares are sorted
  // by descending cost, so that one pass over both finds them all.
  void look_for(std::size_t most, std::size_t other, Exchange& best) const {
    const double wanted = (loads_[most] - loads_[other]) / 2.0;  // by how much `most` should fall
    std::size_t theirs = 0;
    const std::vector<std::uint32_t>& partners = shares_[other];
    for (std::size_t mine = 0; mine < shares_[most].size(); ++mine) {
      const double cost = costs_[shares_[most][mine]];
      while (theirs < partners.size() && costs_[partners[theirs]] > cost - wanted) ++theirs;
      for (const std::size_t partner : {theirs, theirs - 1}) {  // theirs - 1 may wrap: checked
        if (partner >= partners.size()) continue;
        const double change = cost - costs_[partners[partner]];
        if (change <= 0.0) continue;
        const double largest = std::max(loads_[most] - change, loads_[other] + change);
        if (largest < best.largest) best = {other, mine, partner, largest};
      }
    }
  }

  void sort(std::size_t replica) {
    std::vector<std::uint32_t>& share = shares_[replica];
    std::sort(share.begin(), share.end(), [&](std::uint32_t a, std::uint32_t b) {
      return costs_[a] != costs_[b] ? costs_[a] > costs_[b] : a < b;
    });
    loads_[replica] = 0;
    for (const std::uint32_t sample : share) loads_[replica] += costs_[sample];
  }

  std::span<const double> costs_;
  std::vector<std::vector<std::uint32_t>> shares_;
  std::vector<double> loads_;
};

// A 1F1B pipeline whose micro-batches become known one place after the other: it runs as far as the
// known ones allow.
class GrowingPipeline {
 public:
  GrowingPipeline(std::uint32_t stages, std::uint32_t micro_batches,
                  const PipelineDurations& durations)
      : durations_(durations),
        width_(micro_batches),
        next_(stages),
        free_s_(stages),
        activation_s_(std::size_t{stages} * micro_batches, kUnknown),
        gradient_s_(std::size_t{stages} * micro_batches, kUnknown) {
    for (std::uint32_t s = 0; s < stages; ++s) {
      schedules_.push_back(proto::pipeline_schedule(
          ScheduleKind::kOneForwardOneBackward,
          {.stage = proto::StageIndex{s}, .stages = stages, .micro_batches = micro_batches}));
    }
  }

  void add(std::uint32_t micro_batch) {
    activation_s_[order_.size()] = 0.0;
    order_.push_back(micro_batch);
    std::vector<std::size_t> waiting{0};
    while (!waiting.empty()) {
      const std::size_t s = waiting.back();
      waiting.pop_back();
      if (!advance(s)) continue;
      if (s > 0) waiting.push_back(s - 1);
      if (s + 1 < schedules_.size()) waiting.push_back(s + 1);
    }
  }

  // How long the first stage would idle, had it no further forward to do, until the gradient of the
  // backward that comes after that forward. Negative: it would not.
  [[nodiscard]] double idle_s() const {
    const std::vector<Action>& schedule = schedules_.front();
    std::size_t i = next_.front();
    while (i < schedule.size() && schedule[i].kind != ActionKind::kBackwardInput) ++i;
    LONGHAUL_ASSERT(i < schedule.size());
    const double arrives = gradient_s_[schedule[i].micro_batch.value];
    return arrives == kUnknown ? 0.0 : arrives - free_s_.front();
  }

  [[nodiscard]] const std::vector<std::uint32_t>& order() const { return order_; }

 private:
  static constexpr double kUnknown = -1.0;

  bool advance(std::size_t s) {
    const std::size_t before = next_[s];
    for (; next_[s] < schedules_[s].size(); ++next_[s]) {
      const Action& action = schedules_[s][next_[s]];
      const std::size_t place = action.micro_batch.value;
      if (place >= order_.size()) break;
      const std::size_t slot = s * width_ + place;
      const std::size_t cell = s * width_ + order_[place];
      if (action.kind == ActionKind::kForward) {
        if (activation_s_[slot] == kUnknown) break;
        const double end = start(s, activation_s_[slot], durations_.forward_s[cell]);
        if (s + 1 < schedules_.size()) {
          activation_s_[slot + width_] = end + take(durations_.activation_transfer_s, cell);
        } else {
          gradient_s_[slot] = end;
        }
      } else if (action.kind == ActionKind::kBackwardInput) {
        if (gradient_s_[slot] == kUnknown) break;
        const double end = start(s, gradient_s_[slot], durations_.input_gradient_s[cell]);
        if (s > 0) {
          gradient_s_[slot - width_] = end + take(durations_.gradient_transfer_s, cell - width_);
        }
      } else {
        start(s, 0.0, take(durations_.weight_gradient_s, cell));
      }
    }
    return next_[s] != before;
  }

  double start(std::size_t stage, double ready_s, double lasts_s) {
    return free_s_[stage] = std::max(free_s_[stage], ready_s) + lasts_s;
  }

  static double take(std::span<const double> table, std::size_t cell) {
    return table.empty() ? 0.0 : table[cell];
  }

  const PipelineDurations& durations_;
  std::size_t width_;
  std::vector<std::vector<Action>> schedules_;
  std::vector<std::size_t> next_;     // [stage]: action
  std::vector<double> free_s_;        // [stage]
  std::vector<double> activation_s_;  // [stage, place]: when it is there
  std::vector<double> gradient_s_;    // [stage, place]
  std::vector<std::uint32_t> order_;
};

double cell_sum(std::span<const double> table, std::size_t micro_batches, std::size_t column) {
  double sum = 0;
  for (std::size_t cell = column; cell < table.size(); cell += micro_batches) sum += table[cell];
  return sum;
}

// From the end of a micro-batch's forward on the first stage until its gradient is back there, if
// nothing else were in the pipeline.
double round_trip_s(const PipelineDurations& durations, std::size_t micro_batches,
                    std::size_t column) {
  return cell_sum(durations.forward_s, micro_batches, column) - durations.forward_s[column] +
         cell_sum(durations.input_gradient_s, micro_batches, column) -
         durations.input_gradient_s[column] +
         cell_sum(durations.activation_transfer_s, micro_batches, column) +
         cell_sum(durations.gradient_transfer_s, micro_batches, column);
}

// Takes the micro-batch with the longest first forward that fits, else the shortest. `left` is
// sorted by that time, ascending.
std::uint32_t take_best_fit(std::vector<std::uint32_t>& left, const PipelineDurations& durations,
                            double interval_s) {
  auto after = std::upper_bound(
      left.begin(), left.end(), interval_s,
      [&](double limit, std::uint32_t m) { return limit < durations.forward_s[m]; });
  if (after != left.begin()) --after;
  const std::uint32_t taken = *after;
  left.erase(after);
  return taken;
}

}  // namespace

ReplicaShares balance_replicas(std::span<const double> costs, std::uint32_t replicas,
                               ReplicaCounts counts) {
  LONGHAUL_ASSERT(replicas >= 1);
  Balance balance(costs, replicas);
  balance.longest_first(counts);
  if (counts == ReplicaCounts::kEqual) balance.exchange();
  return std::move(balance).result();
}

std::vector<std::uint32_t> best_fit_order(std::uint32_t stages, std::uint32_t micro_batches,
                                          const PipelineDurations& durations) {
  LONGHAUL_ASSERT(stages >= 1 && micro_batches >= 1 && durations.order.empty());
  LONGHAUL_ASSERT(durations.forward_s.size() == std::size_t{stages} * micro_batches);
  std::vector<double> sizes(micro_batches);
  for (std::uint32_t m = 0; m < micro_batches; ++m) {
    sizes[m] = cell_sum(durations.forward_s, micro_batches, m) +
               cell_sum(durations.input_gradient_s, micro_batches, m) +
               cell_sum(durations.weight_gradient_s, micro_batches, m);
  }
  std::vector<std::uint32_t> left = ascending_indices(micro_batches);
  std::stable_sort(left.begin(), left.end(),
                   [&](std::uint32_t a, std::uint32_t b) { return sizes[a] < sizes[b]; });
  GrowingPipeline pipeline(stages, micro_batches, durations);
  const std::uint32_t first = left.front();
  pipeline.add(first);
  const auto rear_count =
      static_cast<std::ptrdiff_t>(std::min<std::size_t>(stages - 1, left.size() - 1));
  std::vector<std::uint32_t> rear(left.begin() + 1, left.begin() + 1 + rear_count);
  left.erase(left.begin(), left.begin() + 1 + rear_count);
  std::stable_sort(left.begin(), left.end(), [&](std::uint32_t a, std::uint32_t b) {
    return durations.forward_s[a] < durations.forward_s[b];
  });

  double round_trip = round_trip_s(durations, micro_batches, first);
  for (std::uint32_t place = 1; place < stages && !left.empty(); ++place) {
    const std::uint32_t taken =
        take_best_fit(left, durations, round_trip / static_cast<double>(stages - place));
    round_trip -= durations.forward_s[taken];
    pipeline.add(taken);
  }
  while (!left.empty()) pipeline.add(take_best_fit(left, durations, pipeline.idle_s()));
  for (auto it = rear.rbegin(); it != rear.rend(); ++it) pipeline.add(*it);  // the smallest last
  return pipeline.order();
}

PipelineOrder pipeline_order(std::uint32_t stages, std::uint32_t micro_batches,
                             const PipelineDurations& durations, std::uint32_t evaluations) {
  const PipelineClock clock(ScheduleKind::kOneForwardOneBackward, stages, micro_batches);
  const auto total_s = [&](const std::vector<std::uint32_t>& order) {
    PipelineDurations ordered = durations;
    ordered.order = order;
    return clock.total_s(ordered);
  };
  PipelineOrder result{.order = ascending_indices(micro_batches)};
  result.arrival_s = result.total_s = total_s(result.order);
  std::vector<std::uint32_t> order = best_fit_order(stages, micro_batches, durations);
  result.best_fit_s = total_s(order);
  if (result.best_fit_s < result.total_s) {
    result.total_s = result.best_fit_s;
    result.order = std::move(order);
  }
  bool shortened = micro_batches > 1;
  while (shortened) {
    shortened = false;
    for (std::uint32_t i = 0; i + 1 < micro_batches; ++i) {
      for (std::uint32_t j = i + 1; j < micro_batches; ++j) {
        if (evaluations-- == 0) return result;
        std::swap(result.order[i], result.order[j]);
        const double seconds = total_s(result.order);
        if (seconds < result.total_s) {
          result.total_s = seconds;
          shortened = true;
        } else {
          std::swap(result.order[i], result.order[j]);
        }
      }
    }
  }
  return result;
}

}  // namespace longhaul::scheduler
