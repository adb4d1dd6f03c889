// Groups of devices that reach each other well, and what a tensor costs between devices.
#pragma once

#include "scheduler/fleet.hpp"
#include "scheduler/planners/open_tour.hpp"

#include <cstddef>
#include <vector>

namespace longhaul::scheduler {

// Louvain's communities (Blondel et al. 2008, igraph's multilevel method) of the complete graph of
// the devices, edges weighted by the slower direction's bandwidth. Each group ascending, groups by
// their first device. Deterministic.
[[nodiscard]] std::vector<std::vector<std::size_t>> bandwidth_communities(
    const Fleet& fleet, const std::vector<std::size_t>& devices);

// Seconds of one tensor of `bytes` there and one back between each two of the devices: delay and
// bytes over bandwidth, DT-FM's pipeline edge. Symmetric.
[[nodiscard]] TourCosts edge_costs(const Fleet& fleet, const std::vector<std::size_t>& devices,
                                   double bytes);

}  // namespace longhaul::scheduler
