// Branch and bound over replicas, one task after the other, under a convex bound in closed form.
#include "scheduler/disaggregated/replica_search.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace longhaul::scheduler {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();

class Search {
 public:
  explicit Search(const ReplicaProblem& problem)
      : problem_(problem),
        free_(problem.devices.begin(), problem.devices.end()),
        rest_((problem.tasks.size() + 1) * problem.devices.size()),
        floors_(problem.tasks.size() + 1),
        replicas_(problem.tasks.size()) {
    const std::size_t pools = problem.devices.size();
    for (std::size_t k = problem.tasks.size(); k-- > 0;) {
      std::copy_n(rest_.begin() + static_cast<std::ptrdiff_t>((k + 1) * pools), pools,
                  rest_.begin() + static_cast<std::ptrdiff_t>(k * pools));
      const ReplicaTask& task = problem.tasks[k];
      Rest& rest = rest_[k * pools + task.pool];
      rest.work += task.work_s * task.tensor;
      rest.roots += std::sqrt(task.work_s * task.tensor);
      rest.least += std::uint64_t{task.tensor} * task.least;
      // A round takes at least one piece, however many replicas share it.
      const double piece = task.pieces == 0 ? 0.0 : task.work_s / static_cast<double>(task.pieces);
      floors_[k] = {floors_[k + 1].sum + piece, std::max(floors_[k + 1].largest, piece)};
    }
  }

  [[nodiscard]] bool possible() const {
    for (std::size_t p = 0; p < free_.size(); ++p) {
      if (rest_[p].least > free_[p]) return false;
    }
    return true;
  }

  // Of all that is open from task k on, when the tasks before add `sum` to the fill.
  [[nodiscard]] double bound(std::size_t k, double sum, double largest) const {
    double fill = 0;
    for (std::size_t p = 0; p < free_.size(); ++p) {
      const Rest& rest = rest_[k * free_.size() + p];
      if (rest.work <= 0.0) continue;
      const double devices = free_[p];
      fill += rest.roots * rest.roots / devices;
      largest = std::max(largest, rest.work / devices);
    }
    return sum + std::max(fill, floors_[k].sum) +
           problem_.repeats * std::max(largest, floors_[k].largest);
  }

  std::optional<ReplicaChoice> best(double limit) {
    best_.cost_s = limit;
    visit(0, problem_.fill_s, problem_.bottleneck_s);
    if (best_.replicas.size() != replicas_.size() || !found_) return std::nullopt;
    return best_;
  }

 private:
  struct Rest {
    double work = 0;   // device-seconds
    double roots = 0;  // sum of their square roots
    std::uint64_t least = 0;
  };
  struct Floor {
    double sum = 0;
    double largest = 0;
  };

  void visit(std::size_t k, double sum, double largest) {
    if (k == problem_.tasks.size()) {
      const double cost = sum + problem_.repeats * largest;
      if (cost < best_.cost_s) {
        best_ = {replicas_, cost};
        found_ = true;
      }
      return;
    }
    const ReplicaTask& task = problem_.tasks[k];
    const Rest& later = rest_[(k + 1) * free_.size() + task.pool];
    const auto most = static_cast<std::uint32_t>((free_[task.pool] - later.least) / task.tensor);
    if (later.work <= 0.0) {  // the pool's last: more replicas never cost
      take(k, fewest_as_fast(task, most), sum, largest);
      return;
    }
    const std::uint32_t centre = least_bound(k, most, sum, largest);
    std::uint32_t right = centre;
    std::uint32_t left = centre;  // one past the next to try
    bool go_right = true;
    bool go_left = true;
    while (go_right || go_left) {
      if (go_right) {
        go_right = right <= most && step(k, right, sum, largest);
        ++right;
      }
      if (go_left) {
        go_left = left > task.least && step(k, left - 1, sum, largest);
        --left;
      }
    }
  }

  // Tries a number of replicas; false if the bound there, and so everywhere beyond, is too high.
  bool step(std::size_t k, std::uint32_t replicas, double sum, double largest) {
    const ReplicaTask& task = problem_.tasks[k];
    if (bound_with(k, replicas, sum, largest) >= best_.cost_s) return false;
    if (fewest_as_fast(task, replicas) == replicas) take(k, replicas, sum, largest);
    return true;
  }

  void take(std::size_t k, std::uint32_t replicas, double sum, double largest) {
    const ReplicaTask& task = problem_.tasks[k];
    const double round = task.round_s(replicas);
    const std::uint32_t devices = replicas * task.tensor;
    replicas_[k] = replicas;
    free_[task.pool] -= devices;
    if (bound(k + 1, sum + round, std::max(largest, round)) < best_.cost_s) {
      visit(k + 1, sum + round, std::max(largest, round));
    }
    free_[task.pool] += devices;
  }

  // The bound with task k at so many replicas, its round cut at will: convex in replicas.
  double bound_with(std::size_t k, std::uint32_t replicas, double sum, double largest) {
    const ReplicaTask& task = problem_.tasks[k];
    const double round = task.work_s / replicas;
    free_[task.pool] -= replicas * task.tensor;
    const double result = bound(k + 1, sum + round, std::max(largest, round));
    free_[task.pool] += replicas * task.tensor;
    return result;
  }

  std::uint32_t least_bound(std::size_t k, std::uint32_t most, double sum, double largest) {
    std::uint32_t low = problem_.tasks[k].least;
    std::uint32_t high = most;
    while (low < high) {
      const std::uint32_t middle = low + (high - low) / 2;
      if (bound_with(k, middle, sum, largest) <= bound_with(k, middle + 1, sum, largest)) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  // Whole pieces take as long on somewhat fewer replicas.
  static std::uint32_t fewest_as_fast(const ReplicaTask& task, std::uint32_t replicas) {
    if (task.pieces == 0) return replicas;
    const std::uint64_t each = (task.pieces + replicas - 1) / replicas;
    return std::max(task.least, static_cast<std::uint32_t>((task.pieces + each - 1) / each));
  }

  const ReplicaProblem& problem_;
  std::vector<std::uint32_t> free_;  // devices per pool
  std::vector<Rest> rest_;           // [k, pool]: of the tasks from k on
  std::vector<Floor> floors_;        // [k]: of the tasks from k on
  std::vector<std::uint32_t> replicas_;
  ReplicaChoice best_;
  bool found_ = false;
};

}  // namespace

double ReplicaTask::round_s(std::uint32_t replicas) const {
  if (pieces == 0) return work_s / replicas;
  return work_s / static_cast<double>(pieces) *
         static_cast<double>((pieces + replicas - 1) / replicas);
}

double replica_bound(const ReplicaProblem& problem) {
  const Search search(problem);
  return search.possible() ? search.bound(0, problem.fill_s, problem.bottleneck_s) : kInfinite;
}

std::optional<ReplicaChoice> best_replicas(const ReplicaProblem& problem, double limit) {
  Search search(problem);
  if (!search.possible()) return std::nullopt;
  return search.best(limit);
}

}  // namespace longhaul::scheduler
