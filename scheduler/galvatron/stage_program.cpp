// A price for memory, the states that may matter, and the recurrence over those.
#include "scheduler/galvatron/stage_program.hpp"

#include <algorithm>
#include <limits>
#include <tuple>
#include <utility>

namespace longhaul::scheduler::galvatron {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kHighestPrice = 1e12;
constexpr int kHalvings = 40;

// Of memory at a price: plan costs and price times memory, with transitions.
struct Priced {
  double sum_s = 0.0;
  double cost_s = 0.0;  // of it, without the price
  std::uint64_t memory_mb = 0;
};

// A layer with this strategy, and the budget that it and the layers before it have.
struct State {
  std::uint64_t free_mb = 0;
  std::uint32_t strategy = 0;
  std::uint32_t before = 0;  // the best state of the layer before it, once known
  double suffix_s = 0.0;     // the least priced sum from this layer to the last
};

class Program {
 public:
  explicit Program(const StageProblem& problem)
      : problem_(problem),
        strategies_(problem.cost_s.size()),
        smallest_mb_(*std::min_element(problem.memory_mb.begin(), problem.memory_mb.end())) {}

  [[nodiscard]] bool fits() const { return smallest_mb_ * problem_.layers <= problem_.budget_mb; }

  std::vector<std::size_t> solve() {
    find_price();
    find_prefixes();
    find_states();
    return recur();
  }

 private:
  [[nodiscard]] double transition(std::size_t before, std::size_t after) const {
    return problem_.transition_s[before * strategies_ + after];
  }
  [[nodiscard]] double priced(std::size_t s, double price) const {
    return problem_.cost_s[s] + price * static_cast<double>(problem_.memory_mb[s]);
  }

  // The cheapest plan at the price. No plan within the budget costs less than its sum less the
  // price of the budget.
  [[nodiscard]] Priced relaxed(double price) const {
    std::vector<Priced> now;
    for (std::size_t s = 0; s < strategies_; ++s) {
      now.push_back({priced(s, price), problem_.cost_s[s], problem_.memory_mb[s]});
    }
    std::vector<Priced> next(strategies_);
    for (std::uint32_t layer = 1; layer < problem_.layers; ++layer) {
      for (std::size_t s = 0; s < strategies_; ++s) {
        std::size_t best = 0;
        for (std::size_t w = 1; w < strategies_; ++w) {
          if (now[w].sum_s + transition(w, s) < now[best].sum_s + transition(best, s)) best = w;
        }
        const double step = transition(best, s);
        next[s] = {now[best].sum_s + step + priced(s, price),
                   now[best].cost_s + step + problem_.cost_s[s],
                   now[best].memory_mb + problem_.memory_mb[s]};
      }
      now.swap(next);
    }
    return *std::min_element(now.begin(), now.end(),
                             [](const Priced& a, const Priced& b) { return a.sum_s < b.sum_s; });
  }

  // Whether the plan of this price fits; keeps the price if its bound is the best so far.
  bool try_price(double price) {
    const Priced plan = relaxed(price);
    const double bound = plan.sum_s - price * static_cast<double>(problem_.budget_mb);
    if (bound > bound_s_) {
      bound_s_ = bound;
      price_ = price;
    }
    const bool plan_fits = plan.memory_mb <= problem_.budget_mb;
    if (plan_fits) known_s_ = std::min(known_s_, plan.cost_s);
    return plan_fits;
  }

  void find_price() {
    known_s_ = pair_plan_s();
    if (!try_price(0.0)) {
      double low = 0.0;
      double high = 1e-6;
      while (!try_price(high) && high < kHighestPrice) {
        low = high;
        high *= 4.0;
      }
      for (int i = 0; i < kHalvings; ++i) {
        const double middle = (low + high) / 2.0;
        (try_price(middle) ? high : low) = middle;
      }
    }
    // Sums in another order differ by far less than what is added here.
    limit_s_ =
        known_s_ * (1.0 + 1e-10) + price_ * static_cast<double>(problem_.budget_mb) * (1.0 + 1e-12);
  }

  // The best of the plans that take one strategy for the first layers and one for the others, as
  // many as fit of whichever is cheaper.
  [[nodiscard]] double pair_plan_s() const {
    double best = kInfinity;
    const double layers = problem_.layers;
    for (std::size_t a = 0; a < strategies_; ++a) {  // the smaller
      const std::uint64_t all = problem_.memory_mb[a] * problem_.layers;
      if (all > problem_.budget_mb) continue;
      best = std::min(best, layers * problem_.cost_s[a]);
      for (std::size_t b = 0; b < strategies_; ++b) {  // the cheaper
        if (problem_.memory_mb[b] <= problem_.memory_mb[a]) continue;
        const std::uint64_t more =
            (problem_.budget_mb - all) / (problem_.memory_mb[b] - problem_.memory_mb[a]);
        if (more == 0 || more >= problem_.layers) continue;
        const auto cheaper = static_cast<double>(more);
        best =
            std::min(best, cheaper * problem_.cost_s[b] + (layers - cheaper) * problem_.cost_s[a] +
                               std::min(transition(a, b), transition(b, a)));
      }
    }
    return best;
  }

  // [layer][strategy]: the least priced sum of the layers before this one and the transition to it.
  void find_prefixes() {
    prefix_s_.assign(problem_.layers, std::vector<double>(strategies_, 0.0));
    for (std::uint32_t layer = 1; layer < problem_.layers; ++layer) {
      for (std::size_t s = 0; s < strategies_; ++s) {
        double best = kInfinity;
        for (std::size_t w = 0; w < strategies_; ++w) {
          best = std::min(best, prefix_s_[layer - 1][w] + priced(w, price_) + transition(w, s));
        }
        prefix_s_[layer][s] = best;
      }
    }
  }

  void keep(std::vector<State>& states, std::uint32_t layer, const State& state) const {
    const std::uint64_t least = problem_.memory_mb[state.strategy] + smallest_mb_ * layer;
    if (state.free_mb < least) return;
    if (prefix_s_[layer][state.strategy] + state.suffix_s <= limit_s_) states.push_back(state);
  }

  // From the last layer, which has the whole budget, to the first.
  void find_states() {
    steps_.resize(problem_.layers);
    for (std::uint32_t s = 0; s < strategies_; ++s) {
      keep(steps_.back(), problem_.layers - 1, {problem_.budget_mb, s, 0, priced(s, price_)});
    }
    for (std::uint32_t layer = problem_.layers - 1; layer-- > 0;) {
      std::vector<State> states;
      for (const State& after : steps_[layer + 1]) {
        const std::uint64_t free = after.free_mb - problem_.memory_mb[after.strategy];
        for (std::uint32_t s = 0; s < strategies_; ++s) {
          keep(states, layer,
               {free, s, 0, after.suffix_s + transition(s, after.strategy) + priced(s, price_)});
        }
      }
      std::sort(states.begin(), states.end(), [](const State& a, const State& b) {
        return std::tie(a.free_mb, a.strategy, a.suffix_s) <
               std::tie(b.free_mb, b.strategy, b.suffix_s);
      });
      const auto same = [](const State& a, const State& b) {
        return a.free_mb == b.free_mb && a.strategy == b.strategy;
      };
      states.erase(std::unique(states.begin(), states.end(), same), states.end());
      steps_[layer] = std::move(states);
    }
  }

  std::vector<std::size_t> recur() {
    std::vector<double> before;
    for (const State& state : steps_.front()) before.push_back(problem_.cost_s[state.strategy]);
    for (std::uint32_t layer = 1; layer < problem_.layers; ++layer) {
      const std::vector<State>& from = steps_[layer - 1];
      std::vector<double> now;
      for (State& state : steps_[layer]) {
        const std::uint64_t free = state.free_mb - problem_.memory_mb[state.strategy];
        const auto first =
            std::lower_bound(from.begin(), from.end(), free,
                             [](const State& a, std::uint64_t mb) { return a.free_mb < mb; });
        double best = kInfinity;
        for (auto at = first; at != from.end() && at->free_mb == free; ++at) {
          const auto index = static_cast<std::size_t>(at - from.begin());
          const double sum = before[index] + transition(at->strategy, state.strategy) +
                             problem_.cost_s[state.strategy];
          if (sum < best) {
            best = sum;
            state.before = static_cast<std::uint32_t>(index);
          }
        }
        now.push_back(best);
      }
      before = std::move(now);
    }
    std::vector<std::size_t> plan(problem_.layers);
    auto at =
        static_cast<std::size_t>(std::min_element(before.begin(), before.end()) - before.begin());
    for (std::uint32_t layer = problem_.layers; layer-- > 0;) {
      plan[layer] = steps_[layer][at].strategy;
      at = steps_[layer][at].before;
    }
    return plan;
  }

  const StageProblem& problem_;
  std::size_t strategies_;
  std::uint64_t smallest_mb_;
  double price_ = 0.0;  // of a MB, in s
  double bound_s_ = -kInfinity;
  double known_s_ = kInfinity;  // what some plan within the budget costs
  double limit_s_ = kInfinity;  // the largest priced sum that a best plan may have
  std::vector<std::vector<double>> prefix_s_;
  std::vector<std::vector<State>> steps_;  // by layer; ascending in free_mb, then strategy
};

}  // namespace

std::optional<std::vector<std::size_t>> cheapest_strategies(const StageProblem& problem) {
  Program program(problem);
  if (!program.fits()) return std::nullopt;
  return program.solve();
}

}  // namespace longhaul::scheduler::galvatron
