// A price for memory, the states that may matter, and the recurrence over those.
#include "scheduler/galvatron/stage_program.hpp"

#include <algorithm>
#include <limits>
#include <utility>

namespace longhaul::scheduler::galvatron {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A budget left at a layer, and the least sum of reduced costs with which the layers behind it
// leave so much.
struct State {
  std::uint64_t free_mb = 0;
  double reduced_s = 0.0;
};

// Every plan costs at least bound_s plus its layers' reduced costs plus price times free memory.
struct Relaxation {
  double price_s_per_mb = 0.0;
  double bound_s = -kInfinity;
  double least_s = 0.0;  // of cost and price of a layer
};

struct Step {
  std::vector<State> states;          // ascending in free_mb
  std::vector<std::uint32_t> chosen;  // [states x S]: the strategy of the layer before
};

class Program {
 public:
  explicit Program(const StageProblem& problem)
      : problem_(problem),
        strategies_(problem.cost_s.size()),
        smallest_mb_(*std::min_element(problem.memory_mb.begin(), problem.memory_mb.end())) {}

  [[nodiscard]] bool fits() const { return smallest_mb_ * problem_.layers <= problem_.budget_mb; }

  std::vector<std::size_t> solve() {
    relax();
    find_states();
    return recur();
  }

 private:
  [[nodiscard]] double priced(std::size_t s, double price) const {
    return problem_.cost_s[s] + price * static_cast<double>(problem_.memory_mb[s]);
  }

  // The bound is concave in the price, with a corner only where two strategies are equal.
  void relax() {
    const auto consider = [&](double price) {
      double least = kInfinity;
      for (std::size_t s = 0; s < strategies_; ++s) least = std::min(least, priced(s, price));
      const double bound =
          least * problem_.layers - price * static_cast<double>(problem_.budget_mb);
      if (bound > relaxation_.bound_s) relaxation_ = {price, bound, least};
    };
    consider(0.0);
    for (std::size_t a = 0; a < strategies_; ++a) {
      for (std::size_t b = 0; b < strategies_; ++b) {
        if (problem_.memory_mb[a] <= problem_.memory_mb[b]) continue;
        const double price = (problem_.cost_s[b] - problem_.cost_s[a]) /
                             static_cast<double>(problem_.memory_mb[a] - problem_.memory_mb[b]);
        if (price > 0.0) consider(price);
      }
    }
    // Sums of a plan's costs in another order differ by far less.
    const double known = known_plan_s();
    gap_ = known - relaxation_.bound_s + 1e-10 * known;
    for (std::size_t s = 0; s < strategies_; ++s) {
      const double reduced = priced(s, relaxation_.price_s_per_mb) - relaxation_.least_s;
      if (reduced <= gap_) useful_.push_back({s, std::max(0.0, reduced)});
    }
  }

  // The best of the plans that take one strategy for the first layers and one for the others, as
  // many as fit of whichever is cheaper.
  [[nodiscard]] double known_plan_s() const {
    double best = kInfinity;
    const double layers = problem_.layers;
    for (std::size_t a = 0; a < strategies_; ++a) {
      const std::uint64_t all = problem_.memory_mb[a] * problem_.layers;
      if (all <= problem_.budget_mb) best = std::min(best, layers * problem_.cost_s[a]);
    }
    for (std::size_t a = 0; a < strategies_; ++a) {    // the smaller
      for (std::size_t b = 0; b < strategies_; ++b) {  // the cheaper
        const std::uint64_t all = problem_.memory_mb[a] * problem_.layers;
        if (problem_.memory_mb[b] <= problem_.memory_mb[a] || all > problem_.budget_mb) continue;
        const std::uint64_t more =
            (problem_.budget_mb - all) / (problem_.memory_mb[b] - problem_.memory_mb[a]);
        if (more == 0 || more >= problem_.layers) continue;
        const double transition = std::min(problem_.transition_s[a * strategies_ + b],
                                           problem_.transition_s[b * strategies_ + a]);
        best = std::min(best, static_cast<double>(more) * problem_.cost_s[b] +
                                  (layers - static_cast<double>(more)) * problem_.cost_s[a] +
                                  transition);
      }
    }
    return best;
  }

  // From the last layer, which has the whole budget, to the first.
  void find_states() {
    steps_.resize(problem_.layers);
    steps_.back().states = {{problem_.budget_mb, 0.0}};
    for (std::size_t layer = problem_.layers; layer-- > 1;) {
      std::vector<State> before;
      for (const State& state : steps_[layer].states) {
        for (const auto& [s, reduced] : useful_) {
          const std::uint64_t least = problem_.memory_mb[s] + smallest_mb_ * layer;
          const double sum = state.reduced_s + reduced;
          if (state.free_mb < least || sum > gap_) continue;
          before.push_back({state.free_mb - problem_.memory_mb[s], sum});
        }
      }
      std::sort(before.begin(), before.end(), [](const State& a, const State& b) {
        return std::pair(a.free_mb, a.reduced_s) < std::pair(b.free_mb, b.reduced_s);
      });
      const auto same = [](const State& a, const State& b) { return a.free_mb == b.free_mb; };
      before.erase(std::unique(before.begin(), before.end(), same), before.end());
      steps_[layer - 1].states = std::move(before);
    }
  }

  std::vector<std::size_t> recur() {
    std::vector<double> before;  // [states x useful]
    for (std::size_t layer = 0; layer < problem_.layers; ++layer) {
      Step& step = steps_[layer];
      std::vector<double> now(step.states.size() * useful_.size(), kInfinity);
      step.chosen.assign(now.size(), 0);
      for (std::size_t i = 0; i < step.states.size(); ++i) {
        for (std::size_t u = 0; u < useful_.size(); ++u) {
          const std::size_t at = i * useful_.size() + u;
          const std::size_t s = useful_[u].strategy;
          if (step.states[i].free_mb < problem_.memory_mb[s]) continue;
          if (layer == 0) {
            now[at] = problem_.cost_s[s];
            continue;
          }
          const std::size_t from = find(layer - 1, step.states[i].free_mb - problem_.memory_mb[s]);
          if (from == kNone) continue;
          for (std::size_t w = 0; w < useful_.size(); ++w) {
            const double sum = before[from * useful_.size() + w] +
                               problem_.transition_s[useful_[w].strategy * strategies_ + s] +
                               problem_.cost_s[s];
            if (sum < now[at]) {
              now[at] = sum;
              step.chosen[at] = static_cast<std::uint32_t>(w);
            }
          }
        }
      }
      before = std::move(now);
    }
    return backwards(
        static_cast<std::size_t>(std::min_element(before.begin(), before.end()) - before.begin()));
  }

  [[nodiscard]] std::vector<std::size_t> backwards(std::size_t last) const {
    std::vector<std::size_t> plan(problem_.layers);
    std::size_t u = last;
    std::size_t state = 0;
    for (std::size_t layer = problem_.layers; layer-- > 0;) {
      const Step& step = steps_[layer];
      plan[layer] = useful_[u].strategy;
      if (layer == 0) break;
      const std::size_t chosen = step.chosen[state * useful_.size() + u];
      state = find(layer - 1, step.states[state].free_mb - problem_.memory_mb[plan[layer]]);
      u = chosen;
    }
    return plan;
  }

  static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

  [[nodiscard]] std::size_t find(std::size_t layer, std::uint64_t free_mb) const {
    const auto& states = steps_[layer].states;
    const auto found =
        std::lower_bound(states.begin(), states.end(), free_mb,
                         [](const State& state, std::uint64_t mb) { return state.free_mb < mb; });
    if (found == states.end() || found->free_mb != free_mb) return kNone;
    return static_cast<std::size_t>(found - states.begin());
  }

  struct Useful {
    std::size_t strategy = 0;
    double reduced_s = 0.0;
  };

  const StageProblem& problem_;
  std::size_t strategies_;
  std::uint64_t smallest_mb_;
  Relaxation relaxation_;
  double gap_ = 0.0;
  std::vector<Useful> useful_;  // ascending: strategies that a best plan may hold
  std::vector<Step> steps_;     // by layer
};

}  // namespace

std::optional<std::vector<std::size_t>> cheapest_strategies(const StageProblem& problem) {
  Program program(problem);
  if (!program.fits()) return std::nullopt;
  return program.solve();
}

}  // namespace longhaul::scheduler::galvatron
