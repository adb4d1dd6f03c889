// A planning problem with groups of devices in the place of devices.
#pragma once

#include "scheduler/groups/group_costs.hpp"
#include "scheduler/groups/grouped_plan.hpp"
#include "scheduler/simulator/schedule_book.hpp"

#include <cstddef>
#include <memory>
#include <vector>

namespace longhaul::scheduler {

using Groups = std::vector<std::vector<std::size_t>>;

class GroupedProblem {
 public:
  // Groups of usable devices of the base, each inside one site, no device twice. All operators get
  // the fastest strategies first.
  GroupedProblem(std::shared_ptr<const PlanningProblem> base, Groups groups);

  // For planners: what fits a group is judged by the memory of all its devices together.
  [[nodiscard]] PlanningProblem hopeful() const;
  // With the strategies as they are: what is told of this placement.
  [[nodiscard]] PlanningProblem exact(const PlacedPipeline& placed) const;

  // The fastest strategies with which the stage's operators fit, for its group. False: none; then
  // `hopeful` expects less of the group.
  bool fit(const PlacedPipeline& placed, std::size_t stage);
  // As given.
  void set(std::size_t workload, std::size_t group, std::vector<std::size_t> chosen);

  [[nodiscard]] const Groups& groups() const { return *groups_; }
  [[nodiscard]] const GroupCosts& costs(std::size_t workload, std::size_t group) const {
    return *(*costs_)[workload][group];
  }
  [[nodiscard]] GroupedPlan plan(PlanningProblem problem, const PlacedPipeline& placed) const;

 private:
  using Costs = std::vector<std::vector<std::shared_ptr<const GroupCosts>>>;
  using Chosen = std::vector<std::vector<std::vector<std::size_t>>>;  // [workload][group][operator]

  [[nodiscard]] PlanningProblem common() const;
  [[nodiscard]] Workload workload_of(std::size_t index, std::vector<FleetDevice>& devices) const;
  // As if the stage were on one device of its group: the one whose node the data is at.
  [[nodiscard]] StageNeed undivided(const PlacedPipeline& placed, std::size_t stage) const;
  [[nodiscard]] StageNeed need(const PlacedPipeline& placed, std::size_t stage,
                               const std::vector<std::size_t>& chosen) const;

  std::shared_ptr<const PlanningProblem> base_;
  std::shared_ptr<const Groups> groups_;
  std::shared_ptr<Costs> costs_;
  Chosen chosen_;
  std::vector<double> strictness_;  // of each group: factor on what it is hoped to need
};

}  // namespace longhaul::scheduler
