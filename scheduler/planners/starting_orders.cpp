// Chains of sites, and all orders where there are few.
#include "scheduler/planners/starting_orders.hpp"

#include "scheduler/planners/device_groups.hpp"
#include "scheduler/planners/planners.hpp"

#include <algorithm>
#include <random>
#include <set>
#include <tuple>
#include <utility>

namespace longhaul::scheduler {
namespace {

using Order = std::vector<std::size_t>;

constexpr std::size_t kFewDevices = 5;
constexpr std::size_t kFewSites = 8;
constexpr std::size_t kSpeedClasses = 4;
constexpr std::size_t kSingles = 64;

class Orders {
 public:
  explicit Orders(const PlanTables& tables)
      : tables_(tables), fleet_(tables.problem().fleet), sums_(tables.workload(0)) {
    for (const std::size_t d : tables.devices()) {
      const double takes_s = sums_.time(d, 0, sums_.operators()).sum();
      classes_.insert(takes_s);
      const std::size_t site = fleet_.site_of(d);
      const auto known = std::ranges::find(sites_, site);
      if (known == sites_.end()) {
        sites_.push_back(site);
        devices_.push_back({{takes_s, d}});
      } else {
        devices_[static_cast<std::size_t>(known - sites_.begin())].emplace_back(takes_s, d);
      }
    }
    // Hosts in a row, the faster devices first.
    for (auto& site : devices_) {
      std::ranges::stable_sort(site, [&](const auto& a, const auto& b) {
        return std::tuple(a.first, fleet_.devices[a.second].host) <
               std::tuple(b.first, fleet_.devices[b.second].host);
      });
    }
  }

  std::vector<Order> all() {
    if (tables_.devices().size() <= kFewDevices) {
      Order order;
      add_subsets(order);
      return std::move(found_);
    }
    const TourCosts costs = site_costs();
    if (sites_.size() <= kFewSites) {
      for (std::size_t set = (std::size_t{1} << sites_.size()) - 1; set > 0; --set) {
        std::vector<std::size_t> chosen;
        for (std::size_t i = 0; i < sites_.size(); ++i) {
          if ((set >> i & 1U) != 0) chosen.push_back(i);
        }
        add_chain(chosen, costs);
      }
    } else {
      grow_chains(costs);
    }
    for (std::size_t i = 0; i < std::min(kSingles, tables_.devices().size()); ++i) {
      add({tables_.devices()[i]});
    }
    // Whoever has time for some only sees some of every kind.
    std::mt19937 random(1);
    for (std::size_t i = found_.size(); i > 1; --i) std::swap(found_[i - 1], found_[random() % i]);
    return std::move(found_);
  }

 private:
  // The slowest devices' times of up to kSpeedClasses sets of devices, slowest first.
  [[nodiscard]] std::vector<double> slowest_allowed() const {
    const std::vector<double> times(classes_.rbegin(), classes_.rend());
    if (times.size() <= kSpeedClasses) return times;
    std::vector<double> some;
    for (std::size_t i = 0; i < kSpeedClasses; ++i) {
      some.push_back(times[i * times.size() / kSpeedClasses]);
    }
    return some;
  }
  [[nodiscard]] TourCosts site_costs() const {
    std::vector<std::size_t> first;  // device of each site
    for (const auto& site : devices_) first.push_back(site.front().second);
    double bytes = 0.0;
    for (const double cut : sums_.cut_bytes()) bytes += cut;
    return edge_costs(fleet_, first, bytes / static_cast<double>(sums_.operators()));
  }

  void grow_chains(const TourCosts& costs) {
    for (std::size_t start = 0; start < sites_.size(); ++start) {
      std::vector<std::size_t> chosen{start};
      std::size_t next_size = 1;
      while (true) {
        if (chosen.size() == next_size || chosen.size() == sites_.size()) {
          add_chain(chosen, costs);
          next_size = std::max(next_size + 1, next_size * 3 / 2);
        }
        if (chosen.size() == sites_.size()) break;
        std::size_t nearest = sites_.size();
        for (std::size_t i = 0; i < sites_.size(); ++i) {
          if (std::ranges::find(chosen, i) != chosen.end()) continue;
          if (nearest == sites_.size() || costs(chosen.back(), i) < costs(chosen.back(), nearest)) {
            nearest = i;
          }
        }
        chosen.push_back(nearest);
      }
    }
  }

  void add_chain(const std::vector<std::size_t>& chosen, const TourCosts& costs) {
    TourCosts between{.size = chosen.size(), .costs = {}};
    for (const std::size_t a : chosen) {
      for (const std::size_t b : chosen) between.costs.push_back(costs(a, b));
    }
    std::vector<std::size_t> chain;
    for (const std::size_t place : open_tour(between)) chain.push_back(chosen[place]);
    for (const double slowest_s : slowest_allowed()) {
      Order order;
      for (const std::size_t site : chain) {
        for (const auto& [takes_s, device] : devices_[site]) {
          if (takes_s <= slowest_s) order.push_back(device);
        }
      }
      add(order);
      std::ranges::reverse(order);
      add(std::move(order));
    }
  }

  void add_subsets(Order& order) {
    if (!order.empty()) add(order);
    for (const std::size_t device : tables_.devices()) {
      if (std::ranges::find(order, device) != order.end()) continue;
      order.push_back(device);
      add_subsets(order);
      order.pop_back();
    }
  }

  void add(Order order) {
    if (order.empty()) return;
    keep_constraints(tables_, order);
    if (seen_.insert(order).second) found_.push_back(std::move(order));
  }

  const PlanTables& tables_;
  const Fleet& fleet_;
  const WorkloadTables& sums_;
  std::vector<std::size_t> sites_;
  std::vector<std::vector<std::pair<double, std::size_t>>> devices_;  // of each site, by time
  std::set<double> classes_;
  std::set<Order> seen_;
  std::vector<Order> found_;
};

}  // namespace

std::vector<std::vector<std::size_t>> starting_orders(const PlanTables& tables) {
  return Orders(tables).all();
}

}  // namespace longhaul::scheduler
