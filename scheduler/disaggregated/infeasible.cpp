// The least devices and the least memory that any plan of the units needs, in words.
#include "scheduler/disaggregated/infeasible.hpp"

#include "proto/assert.hpp"
#include "scheduler/disaggregated/disaggregated.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <optional>

namespace longhaul::scheduler {
namespace {

constexpr double kGib = 1024.0 * 1024.0 * 1024.0;
// More replicas of a unit than any fleet has; memory that falls with replicas has fallen by then.
constexpr std::uint32_t kManyReplicas = 1U << 20U;

// The least that one unit needs in one pool, whatever number of devices there is.
struct Least {
  std::size_t pool = 0;
  std::uint64_t devices = 0;
};

// All units' needs under one choice of degrees, each unit in the pool where that lacks the fewest.
struct Demand {
  std::vector<Least> units;
  std::vector<std::uint64_t> missing;  // per pool
  std::uint64_t missing_of_all = std::numeric_limits<std::uint64_t>::max();
};

// What a unit needs per pool at these degrees: 0 devices where its memory never fits.
std::vector<std::uint64_t> needs(const UnitsProblem& problem, std::size_t unit,
                                 BackboneDegrees degrees) {
  std::vector<std::uint64_t> devices(problem.pools.size());
  for (const UnitOption& option : problem.units[unit].options) {
    const double bytes = problem.pools[option.pool].memory_bytes;
    std::uint64_t need = 0;
    if (unit == problem.backbone) {
      const UnitMemoryNeed memory = memory_need(problem, unit, option, degrees, degrees.data);
      if (memory.total() > bytes) continue;
      need = std::uint64_t{option.tensor} * degrees.data * degrees.pipeline;
    } else {
      const auto least = smallest_data_degree(problem, unit, option, degrees, bytes, kManyReplicas);
      if (!least) continue;
      need = std::uint64_t{option.tensor} * *least;
    }
    std::uint64_t& best = devices[option.pool];
    best = best == 0 ? need : std::min(best, need);
  }
  return devices;
}

// Tries every choice of a pool for each unit and keeps the one that lacks the fewest devices.
void choose_pools(const UnitsProblem& problem,
                  const std::vector<std::vector<std::uint64_t>>& needed, Demand& best,
                  std::vector<Least>& chosen) {
  if (chosen.size() < needed.size()) {
    for (std::size_t pool = 0; pool < problem.pools.size(); ++pool) {
      const std::uint64_t devices = needed[chosen.size()][pool];
      if (devices == 0) continue;
      chosen.push_back({pool, devices});
      choose_pools(problem, needed, best, chosen);
      chosen.pop_back();
    }
    return;
  }
  std::vector<std::uint64_t> used(problem.pools.size());
  for (const Least& least : chosen) used[least.pool] += least.devices;
  std::uint64_t sum = 0;
  for (std::size_t p = 0; p < used.size(); ++p) {
    used[p] -= std::min<std::uint64_t>(used[p], problem.pools[p].devices);
    sum += used[p];
  }
  if (sum < best.missing_of_all) {
    best = {.units = chosen, .missing = std::move(used), .missing_of_all = sum};
  }
}

// The demand that lacks the fewest devices; nothing if some unit's memory never fits.
std::optional<Demand> least_demand(const UnitsProblem& problem) {
  Demand best;
  for (const std::uint32_t data : divisors(problem.batch / problem.micro_batch)) {
    for (const std::uint32_t pipeline : pipeline_degrees(problem.layers)) {
      std::vector<std::vector<std::uint64_t>> needed;
      for (std::size_t u = 0; u < problem.units.size(); ++u) {
        needed.push_back(needs(problem, u, {.data = data, .pipeline = pipeline}));
      }
      std::vector<Least> chosen;
      choose_pools(problem, needed, best, chosen);
      if (best.missing_of_all == 0) return best;
    }
  }
  if (best.units.empty()) return std::nullopt;
  return best;
}

bool fits(const UnitsProblem& problem) {
  const auto demand = least_demand(problem);
  return demand && demand->missing_of_all == 0;
}

UnitsProblem with_memory(UnitsProblem problem, double factor) {
  for (DevicePool& pool : problem.pools) pool.memory_bytes *= factor;
  return problem;
}

// The smallest factor, to a thousandth, by which all memory must grow; nothing if none suffices.
std::optional<double> memory_factor(const UnitsProblem& problem) {
  double high = 2.0;
  while (!fits(with_memory(problem, high))) {
    high *= 4.0;
    if (high > 1e6) return std::nullopt;
  }
  double low = high == 2.0 ? 1.0 : high / 4.0;
  while (high / low > 1.001) {
    const double middle = (low + high) / 2.0;
    (fits(with_memory(problem, middle)) ? high : low) = middle;
  }
  return high;
}

// Ways out that suffice alone, devices apart: "12.3 GiB per device of pool 'a' instead of 10.0".
std::vector<std::string> remedies(const UnitsProblem& problem) {
  std::vector<std::string> ways;
  if (const auto factor = memory_factor(problem)) {
    for (const DevicePool& pool : problem.pools) {
      ways.push_back(fmt::format("{:.1f} GiB per device of pool '{}' instead of {:.1f}",
                                 pool.memory_bytes * *factor / kGib, pool.name,
                                 pool.memory_bytes / kGib));
    }
    if (ways.size() > 1) ways = {fmt::format("{}", fmt::join(ways, " with "))};
  }
  const std::vector<std::uint32_t> smaller = divisors(problem.micro_batch);
  for (std::size_t i = smaller.size() - 1; i-- > 0;) {
    UnitsProblem changed = problem;
    changed.micro_batch = smaller[i];
    if (!fits(changed)) continue;
    ways.push_back(
        fmt::format("micro-batches of {} instead of {}", smaller[i], problem.micro_batch));
    break;
  }
  return ways;
}

std::string way_out(const std::vector<std::string>& ways) {
  if (ways.empty()) return "give it devices with more memory, in larger number";
  return fmt::format("what would make it fit: {}", fmt::join(ways, ", or "));
}

// The least memory per device of a unit over all degrees and any number of devices; nothing if the
// unit fits somewhere.
struct MemoryFault {
  UnitMemoryNeed need;
  UnitOption option;
  BackboneDegrees degrees;
  double excess = std::numeric_limits<double>::infinity();  // bytes
};

std::optional<MemoryFault> memory_fault(const UnitsProblem& problem, std::size_t unit) {
  MemoryFault least;
  for (const std::uint32_t data : divisors(problem.batch / problem.micro_batch)) {
    for (const std::uint32_t pipeline : pipeline_degrees(problem.layers)) {
      const BackboneDegrees degrees{.data = data, .pipeline = pipeline};
      for (const UnitOption& option : problem.units[unit].options) {
        const std::uint32_t replicas = unit == problem.backbone ? data : kManyReplicas;
        const UnitMemoryNeed need = memory_need(problem, unit, option, degrees, replicas);
        const double excess = need.total() - problem.pools[option.pool].memory_bytes;
        if (excess <= 0.0) return std::nullopt;
        if (excess < least.excess) least = {need, option, degrees, excess};
      }
    }
  }
  return least;
}

std::string memory_message(const UnitsProblem& problem, std::size_t unit,
                           const MemoryFault& fault) {
  const DevicePool& pool = problem.pools[fault.option.pool];
  const std::string degrees =
      unit == problem.backbone
          ? fmt::format("tensor degree {}, pipeline degree {}, data degree {}", fault.option.tensor,
                        fault.degrees.pipeline, fault.degrees.data)
          : fmt::format("tensor degree {} and any number of replicas", fault.option.tensor);
  return fmt::format(
      "memory: unit '{}' needs {:.1f} GiB per device at the least (states {:.1f}, activations "
      "{:.1f}, fixed {:.1f}; {}), {:.1f} more than pool '{}' has; {}",
      problem.units[unit].name, fault.need.total() / kGib, fault.need.states / kGib,
      fault.need.activations / kGib, fault.need.fixed / kGib, degrees, fault.excess / kGib,
      pool.name, way_out(remedies(problem)));
}

std::string devices_message(const UnitsProblem& problem, const Demand& demand) {
  std::vector<std::string> units;
  for (std::size_t u = 0; u < problem.units.size(); ++u) {
    units.push_back(fmt::format("{} {}", problem.units[u].name, demand.units[u].devices));
  }
  std::vector<std::string> missing;
  for (std::size_t p = 0; p < problem.pools.size(); ++p) {
    if (demand.missing[p] == 0) continue;
    missing.push_back(
        fmt::format("{} more devices in pool '{}'", demand.missing[p], problem.pools[p].name));
  }
  std::uint64_t needed = 0;
  std::uint64_t there = 0;
  for (const Least& least : demand.units) needed += least.devices;
  for (const DevicePool& pool : problem.pools) there += pool.devices;
  std::vector<std::string> ways = remedies(problem);
  ways.insert(ways.begin(), fmt::format("{}", fmt::join(missing, " and ")));
  return fmt::format("devices: memory asks for at least {} ({}), and there are {}: {} too few; {}",
                     needed, fmt::join(units, ", "), there, demand.missing_of_all, way_out(ways));
}

}  // namespace

proto::Error why_infeasible(const UnitsProblem& problem) {
  if (const auto demand = least_demand(problem)) {
    LONGHAUL_ASSERT(demand->missing_of_all > 0);
    return {proto::ErrorKind::kResource, devices_message(problem, *demand)};
  }
  for (std::size_t u = 0; u < problem.units.size(); ++u) {
    if (const auto fault = memory_fault(problem, u)) {
      return {proto::ErrorKind::kResource, memory_message(problem, u, *fault)};
    }
  }
  // Each fits under some degrees, but no degrees suit all.
  return {proto::ErrorKind::kResource,
          fmt::format("memory: every unit fits under some degrees of the backbone, but all of them "
                      "under none; {}",
                      way_out(remedies(problem)))};
}

}  // namespace longhaul::scheduler
