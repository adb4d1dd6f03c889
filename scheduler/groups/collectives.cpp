// Counts who uses a path.
#include "scheduler/groups/collectives.hpp"

#include <algorithm>
#include <map>

namespace longhaul::scheduler {

RingLink ring_link(const Fleet& fleet, std::span<const std::vector<std::size_t>> rings) {
  RingLink link;
  if (rings.empty() || rings.front().size() < 2) return link;
  link.devices = static_cast<std::uint32_t>(rings.front().size());
  struct Use {
    const FleetPath* path = nullptr;
    double rings = 0.0;
  };
  std::map<std::uint64_t, Use> uses;
  for (const std::vector<std::size_t>& ring : rings) {
    for (std::size_t i = 0; i < ring.size(); ++i) {
      const std::size_t from = ring[i];
      const std::size_t to = ring[(i + 1) % ring.size()];
      Use& use = uses[fleet.shared_path(from, to)];
      use.path = &fleet.path(from, to);
      use.rings += 1.0;
    }
  }
  for (const auto& [key, use] : uses) {
    link.step_s = std::max(link.step_s, use.path->delay_s + use.path->per_message_s);
    link.s_per_byte = std::max(link.s_per_byte, use.rings / use.path->bytes_per_s);
  }
  return link;
}

}  // namespace longhaul::scheduler
