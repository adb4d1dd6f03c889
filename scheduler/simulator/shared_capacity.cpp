// Water-filling over the jobs at each change.
#include "scheduler/simulator/shared_capacity.hpp"

#include "proto/assert.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

namespace longhaul::scheduler {

void SharedCapacity::start(JobId job, double work, double now_s, double most) {
  LONGHAUL_ASSERT(std::isfinite(work) && work >= 0.0 && most > 0.0);
  advance(now_s);
  jobs_.push_back({.id = job, .left = work, .most = most, .rate = 0.0});
  share();
}

void SharedCapacity::set_most(JobId job, double most, double now_s) {
  advance(now_s);
  const auto found = std::ranges::find(jobs_, job, &Job::id);
  LONGHAUL_ASSERT(found != jobs_.end() && most > 0.0);
  found->most = most;
  share();
}

void SharedCapacity::set_factor(double factor, double now_s) {
  LONGHAUL_ASSERT(std::isfinite(factor) && factor >= 0.0);
  advance(now_s);
  factor_ = factor;
  share();
}

std::optional<SharedCapacity::Next> SharedCapacity::next() const {
  std::optional<Next> first;
  for (const Job& job : jobs_) {
    if (job.left > 0.0 && job.rate <= 0.0) continue;
    const double at_s = job.left <= 0.0 ? now_s_ : now_s_ + job.left / job.rate;
    if (!first || at_s < first->at_s) first = Next{.job = job.id, .at_s = at_s};
  }
  return first;
}

void SharedCapacity::finish(const Next& next) {
  advance(next.at_s);
  const auto found = std::ranges::find(jobs_, next.job, &Job::id);
  LONGHAUL_ASSERT(found != jobs_.end());
  jobs_.erase(found);
  share();
}

void SharedCapacity::advance(double now_s) {
  const double passed_s = std::max(0.0, now_s - now_s_);
  for (Job& job : jobs_) {
    // An infinite rate has no time to take.
    const double done = passed_s > 0.0 || std::isfinite(job.rate) ? job.rate * passed_s : 0.0;
    job.left = std::max(0.0, job.left - done);
  }
  now_s_ = std::max(now_s, now_s_);
}

void SharedCapacity::share() {
  double left = capacity_ * factor_;
  if (jobs_.size() == 1) {
    jobs_[0].rate = std::min(left, jobs_[0].most);
    return;
  }
  unserved_.resize(jobs_.size());
  std::iota(unserved_.begin(), unserved_.end(), std::size_t{0});
  std::ranges::sort(unserved_, {}, [&](std::size_t i) { return std::pair(jobs_[i].most, i); });
  for (std::size_t i = 0; i < unserved_.size(); ++i) {
    Job& job = jobs_[unserved_[i]];
    const double equal = left / static_cast<double>(unserved_.size() - i);
    job.rate = std::min(equal, job.most);
    if (std::isfinite(left)) left -= job.rate;
  }
  if (busy_speed_.empty()) return;
  double in_use = 0.0;
  for (const Job& job : jobs_) in_use += job.rate;
  for (Job& job : jobs_) job.rate *= slowdown(in_use);
}

double SharedCapacity::slowdown(double in_use) const {
  if (in_use <= 1.0) return 1.0;
  const auto whole = std::min(static_cast<std::size_t>(in_use), busy_speed_.size());
  double speed = busy_speed_[whole - 1];
  if (whole < busy_speed_.size()) {
    speed += (in_use - static_cast<double>(whole)) * (busy_speed_[whole] - speed);
  }
  return std::min(1.0, speed / in_use);
}

}  // namespace longhaul::scheduler
