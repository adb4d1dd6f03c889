// Reads the cities, and deals hosts to them.
#include "tests/bench/planning/city_fleets.hpp"

#include <algorithm>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>

namespace longhaul::tests {

using namespace scheduler;

std::vector<DeviceKind> gpu_kinds() {
  return {{.name = "A100", .flops_per_s = 312e12, .efficiency = 0.4, .memory_bytes_per_s = 1555e9},
          {.name = "V100", .flops_per_s = 125e12, .efficiency = 0.4, .memory_bytes_per_s = 900e9},
          {.name = "T4", .flops_per_s = 65e12, .efficiency = 0.4, .memory_bytes_per_s = 320e9}};
}

namespace {

struct CityPath {
  std::string from, to;
  double delay_ms = 0.0;
  double gbps = 0.0;
};

std::vector<CityPath> read_paths(const std::string& csv) {
  std::ifstream file(csv);
  if (!file) throw std::runtime_error("cannot read " + csv);
  std::vector<CityPath> paths;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#' || line.starts_with("site_a")) continue;
    std::istringstream fields(line);
    CityPath path;
    std::string delay, gbps;
    std::getline(fields, path.from, ',');
    std::getline(fields, path.to, ',');
    std::getline(fields, delay, ',');
    std::getline(fields, gbps, ',');
    path.delay_ms = std::stod(delay);
    path.gbps = std::stod(gbps);
    paths.push_back(path);
  }
  return paths;
}

}  // namespace

Fleet city_fleet(const std::string& csv, const CityFleet& wanted) {
  const std::vector<CityPath> paths = read_paths(csv);
  Fleet fleet;
  const auto site_of = [&](const std::string& name) {
    const auto found = std::ranges::find(fleet.sites, name, &Site::name);
    return static_cast<std::size_t>(found - fleet.sites.begin());
  };
  for (const CityPath& path : paths) {
    for (const std::string& name : {path.from, path.to}) {
      if (site_of(name) == fleet.sites.size() && fleet.sites.size() < wanted.cities) {
        fleet.sites.push_back({.name = name});
      }
    }
  }
  const std::size_t sites = fleet.sites.size();
  fleet.between_sites.resize(sites * sites);
  for (const CityPath& path : paths) {
    const std::size_t a = site_of(path.from);
    const std::size_t b = site_of(path.to);
    if (a == sites || b == sites) continue;
    fleet.between_sites[a * sites + b] = fleet.between_sites[b * sites + a] = {
        .delay_s = path.delay_ms / 1000.0, .bytes_per_s = path.gbps * 1e9 / 8.0};
  }
  fleet.within_host = {.delay_s = 1e-5, .bytes_per_s = 12e9, .per_message_s = 1e-5};
  std::mt19937_64 random(64);
  constexpr std::uint64_t kGib = std::uint64_t{1} << 30U;
  std::size_t kind = 0;
  for (std::size_t d = 0; d < wanted.devices; ++d) {
    if (d % 2 == 0) {
      fleet.hosts.push_back({.name = "host" + std::to_string(d / 2),
                             .site = d / 2 * sites / ((wanted.devices + 1) / 2)});
    }
    if (d % 2 == 0) kind = random() % 3;
    const DeviceKind known = gpu_kinds()[kind];
    fleet.devices.push_back(
        {.node = fleet.hosts.back().name,
         .device = "cuda:" + std::to_string(d % 2),
         .host = fleet.hosts.size() - 1,
         .kind = known.name,
         .memory_bytes = (kind == 0 ? 40 : 16) * kGib,
         .peak_flops_per_s = known.flops_per_s,
         .has_data = fleet.hosts.size() == 1 ||
                     fleet.hosts.back().site != fleet.hosts[fleet.hosts.size() - 2].site});
  }
  if (wanted.shuffled) std::ranges::shuffle(fleet.devices, random);
  return fleet;
}

}  // namespace longhaul::tests
