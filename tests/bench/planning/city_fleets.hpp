// Fleets of three kinds of GPUs in DT-FM's cities.
#pragma once

#include "scheduler/fleet.hpp"
#include "scheduler/workload_from_graph.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace longhaul::tests {

// A100, V100 and T4 by their data sheets: peak for 16-bit matrix products and memory bandwidth.
// Matrix products are taken to reach 40 % of the peak; this is an assumption, not a measurement.
[[nodiscard]] std::vector<scheduler::DeviceKind> gpu_kinds();

struct CityFleet {
  std::size_t devices = 64;
  std::size_t cities = 8;  // the first so many of deploy/wan/ten_cities.csv
  bool shuffled = false;   // in the order in which nodes might have joined; else city by city
};

// Hosts of two GPUs of one kind, as many in each city; kinds from a fixed seed. Delay and
// bandwidth between and within cities as measured for DT-FM; 12 GB/s within a host. The first host
// of each city has the data.
[[nodiscard]] scheduler::Fleet city_fleet(const std::string& csv, const CityFleet& wanted);

}  // namespace longhaul::tests
